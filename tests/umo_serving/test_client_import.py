"""The client is installed in other people's programs: what it needs, and what it must not."""

import subprocess
import sys

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
CALL = """
import sys
for name in {heavy}:
    sys.modules[name] = None
from PIL import Image
from umo.errors import UmoError
from umo_serving.client import AsyncClient, Client
with Client("127.0.0.1:1", timeout=5, retries=0) as client:
    try:
        client.generate("two people", [Image.new("RGB", (64, 64))])
    except UmoError as error:
        print(error)
"""


def test_it_works_where_nothing_heavy_is_installed() -> None:
    code = CALL.format(heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("cannot reach 127.0.0.1:1: ")

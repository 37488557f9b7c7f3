import json
from pathlib import Path

import pytest

import umo
from umo.errors import ExitCode
from umo_cli.main import execute

REFERENCE = Path(umo.__file__).parent / "assets" / "reference"


def test_the_shipped_lora_for_comfyui(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--to", "comfyui", "--rank", "16", "--out", str(tmp_path / "out")]
    assert execute(["export", str(REFERENCE), *options]) == ExitCode.OK
    assert "% of the energy" in capsys.readouterr().out
    assert execute(["export", str(REFERENCE), *options, "-o", "json"]) == ExitCode.OK
    made = json.loads(capsys.readouterr().out)
    assert (made["format"], made["rank"]) == ("comfyui", 16)
    assert 0 < made["kept"]["least"] <= made["kept"]["total"] < 1


def test_what_cannot_be_exported_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "out")]
    assert execute(["export", str(tmp_path), *out]) == ExitCode.NOT_FOUND
    foreign = Path(umo.__file__).parent / "assets" / "faces" / "mtcnn.safetensors"
    assert execute(["export", str(foreign), *out]) == ExitCode.DIFFERS
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert "no LoRA at" in said[0]
    assert "does not fit embedded: missing: " in said[1]
    assert not (tmp_path / "out").exists()

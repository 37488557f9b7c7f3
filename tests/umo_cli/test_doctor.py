import json
import shutil
from pathlib import Path

import pytest

import umo
from umo_cli import doctor, main

CHECKS = {
    "python",
    "torch",
    "cores",
    "memory",
    "disk",
    "packages",
    "face pack",
    "head of the renderer",
    "embedded base",
    "renderer",
}


def test_machine_is_checked(capsys: pytest.CaptureFixture[str]) -> None:
    code = main.execute(["doctor", "-o", "json"])
    found = json.loads(capsys.readouterr().out)
    checks = {check["name"]: check for check in found["checks"]}
    assert set(checks) == CHECKS
    assert checks["python"]["ok"]
    assert checks["packages"]["found"] == "as pinned"
    assert checks["face pack"]["ok"]
    assert checks["renderer"]["ok"]
    assert found["ok"] == all(check["ok"] for check in found["checks"])
    assert code == (0 if found["ok"] else 1)


def test_changed_and_missing_weights_are_named_with_the_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped = Path(umo.__path__[0]) / "assets" / "faces"
    shutil.copytree(shipped, tmp_path / "assets" / "faces")
    with (tmp_path / "assets" / "faces" / "mtcnn.safetensors").open("ab") as stream:
        stream.write(b"x")
    monkeypatch.setattr(umo, "__path__", [str(tmp_path)])
    monkeypatch.setattr(doctor, "CHECKS", (doctor._weights,))
    assert main.execute(["doctor", "-o", "json"]) == 1
    face, head, base = json.loads(capsys.readouterr().out)["checks"]
    assert "mtcnn.safetensors has sha256" in face["found"]
    assert "git checkout" in face["fix"]
    assert not head["ok"]
    assert base["found"].startswith("nothing in")
    assert main.execute(["doctor"]) == 1
    assert capsys.readouterr().out.count("git checkout") == 3

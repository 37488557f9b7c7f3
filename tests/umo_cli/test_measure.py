import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from umo.errors import ExitCode
from umo.files import write_manifest
from umo_cli.main import execute

QUESTION = "Is there a dog?"


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """One item of one picture, and a yes about it."""
    scores, pictures = tmp_path / "scores", tmp_path / "pictures"
    for folder in (scores, pictures):
        folder.mkdir()
    Image.fromarray(np.zeros((8, 8, 3), dtype=np.uint8)).save(pictures / "0.png")
    picture = {"name": "0.png#0", "error": None, "measures": {}}
    item = {"key": "0", "prompt": "a dog", "pictures": [picture]}
    content = {"benchmark": {"pictures": 1}, "items": [item]}
    (scores / "scores.json").write_text(json.dumps(content))
    write_manifest(scores, {"kind": "benchmark-scores"})
    asked = {"prompt": "a dog", "qid2question": {"1": QUESTION}, "qid2dependency": {"1": [0]}}
    (tmp_path / "questions.json").write_text(json.dumps([asked]))
    (tmp_path / "answers.json").write_text(json.dumps({"0": [{QUESTION: "yes"}]}))
    return [
        *("evaluate", "measure", str(scores), "--pictures", str(pictures)),
        *("--dpg-questions", str(tmp_path / "questions.json")),
        *("--dpg-answers", str(tmp_path / "answers.json")),
    ]


def test_what_is_measured_and_what_is_not(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute([*arguments, "--output", "json"]) == ExitCode.OK
    rows = {row.pop("measure"): row for row in json.loads(capsys.readouterr().out)["measures"]}
    assert rows.pop("dpg") == {"mean": 100.0, "pictures": 1, "total": 1}
    assert rows.keys() == {"prompt_following", "picture_quality", "ip_sim", "diversity"}
    assert all(row == {"mean": None, "pictures": 0, "total": 1} for row in rows.values())
    assert execute(arguments) == ExitCode.OK
    shown = capsys.readouterr().out
    assert shown.count("not measured") == 4
    assert "100.00" in shown


def test_a_setting_that_misses_another_is_said_in_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(arguments[:-2]) == ExitCode.USAGE
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == "error: dpg_questions is given without dpg_answers\n"


def test_a_checkpoint_is_converted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"weight": torch.ones(2)}, tmp_path / "head.pth")
    target = tmp_path / "head.safetensors"
    assert execute(["evaluate", "convert", str(tmp_path / "head.pth"), "--to", str(target)]) == 0
    assert target.is_file()
    assert "tensors  1" in capsys.readouterr().out

from pathlib import Path

import pytest

from umo.errors import ExitCode
from umo_cli.main import execute


def test_convert_says_in_one_line_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["faces", "convert", str(tmp_path), "--to", str(tmp_path / "pack")]
    assert execute(arguments) == ExitCode.NOT_FOUND
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "none of the public files; they are Resnet50_Final.pth, detection_" in shown.err
    assert len(shown.err.splitlines()) == 1

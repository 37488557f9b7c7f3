"""`umo data harvest` refuses in one line what it cannot do."""

from pathlib import Path

import pytest
from PIL import Image as Pillow

from umo.errors import ExitCode
from umo_cli.main import execute

NAMED = ["--licence", "CC0-1.0", "--consent", "nobody is shown"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], ExitCode.USAGE, "error: Missing option '--licence'."),
        (["--licence", "CC0", "--consent", " "], ExitCode.USAGE, "error: no consent is named"),
        ([*NAMED, "--shard", "half"], ExitCode.USAGE, "error: the share 'half' is not I/N"),
        ([*NAMED, "--shard", "0/2"], ExitCode.USAGE, "error: --shard needs --work"),
        ([*NAMED, "--shard", "2/2", "--work", "w"], ExitCode.USAGE, "error: share 2 of 2"),
        ([*NAMED, "--videos", "missing"], ExitCode.NOT_FOUND, "error: no folder missing"),
        ([*NAMED, "--set", "units.quality.sides=3"], ExitCode.USAGE, "unknown key 'sides'"),
    ],
)
def test_refusals(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: ExitCode,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    Pillow.new("RGB", (100, 100)).save(tmp_path / "photos" / "black.png")
    assert execute(["data", "harvest", "--photos", "photos", "--out", "out", *arguments]) == code
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()

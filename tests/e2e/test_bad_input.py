"""What a user gets wrong: each is one line and an exit code, and leaves nothing half-written."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from umo.bases.embedded import tiny
from umo.data.shards import Dataset
from umo.errors import ExitCode
from umo.files import MANIFEST, read_manifest, write_manifest
from umo_cli.main import execute

pytestmark = pytest.mark.slow

TINY = {
    "tune": {"samples": 4, "people": {2: 1.0}},
    "held_out": {"samples": 3, "people": {2: 0.5, 3: 0.5}},
    "train": {
        "steps": 2, "batch": 2, "rank": 2, "rollout_steps": 2, "window": [1, 2], "log_every": 1
    },
    "evaluation": {"steps": 2, "resamples": 20},
    "model": "tiny",
}  # fmt: skip
ENOUGH_TO_BEGIN = 450_000
"""Bytes that the data of `TINY` fits in, but not its pictures."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base") / "tiny"
    tiny(0).save(folder)
    write_manifest(folder, {"kind": "base", "name": "tiny"})
    return folder


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "rendered"
    code = execute(["data", "render", "--out", str(folder), "--set", "samples=4"])
    assert code == ExitCode.OK
    return folder


def with_references(rendered: Path, folder: Path, picture: bytes) -> Path:
    """The dataset `rendered` with every reference replaced, under a manifest that fits."""
    shutil.copytree(rendered, folder)
    (shard,) = folder.glob("*.parquet")
    table = pq.read_table(shard)
    column = table.schema.get_field_index("references")
    replaced = [[picture] * len(row) for row in table["references"].to_pylist()]
    field = table.schema.field(column)
    pq.write_table(table.set_column(column, field, pa.array(replaced, field.type)), shard)
    facts = read_manifest(folder)
    (folder / MANIFEST).unlink()
    write_manifest(folder, facts)
    return folder


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def refused(
    capsys: pytest.CaptureFixture[str], arguments: list[str], code: ExitCode, *parts: str
) -> None:
    capsys.readouterr()
    assert execute(arguments) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    errors = [line for line in shown.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, shown.err
    for part in parts:
        assert part in errors[0]


def test_no_face_in_a_reference(
    base: Path, rendered: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = with_references(rendered, tmp_path / "d", png(np.full((96, 96, 3), 120, np.uint8)))
    key = Dataset(data)[0].key
    out = tmp_path / "lora"
    refused(
        capsys,
        ["train", "--base", str(base), "--data", str(data), "--out", str(out)],
        ExitCode.USAGE,
        "4 of 4 samples",
        "no face in a reference picture",
        key,
    )
    assert not out.exists()


def test_a_picture_that_cannot_be_read(
    base: Path, rendered: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = png(np.zeros((96, 96, 3), np.uint8))[:60]
    data = with_references(rendered, tmp_path / "d", cut)
    out = tmp_path / "lora"
    refused(
        capsys,
        ["train", "--base", str(base), "--data", str(data), "--out", str(out)],
        ExitCode.FAILED,
        "unreadable picture",
        Dataset(rendered)[0].key,
    )
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--set", "train.stesp=2"], ["unknown key 'stesp'", "known keys", "steps"]),
        (["--set", "train.lr=high"], ["train.lr is 'high'"]),
        (["--set", "train.window=[5,3]"], ["window is 5..3"]),
        (["--set", "tune.split=held-out"], ["tune.split is 'held-out'"]),
    ],
)
def test_a_wrong_setting(
    arguments: list[str], parts: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    refused(capsys, ["run", "--out", str(out), *arguments], ExitCode.USAGE, *parts)
    assert not out.exists()


def test_a_folder_that_is_no_base(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    (tmp_path / "pictures").mkdir()
    refused(
        capsys,
        ["run", "--out", str(out), "--base", str(tmp_path / "pictures")],
        ExitCode.NOT_FOUND,
        "pictures has no manifest.json",
    )
    assert not (out / "data").exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_stops_the_run_and_the_same_command_goes_on(
    base: Path, small_disk: Path, tmp_path: Path
) -> None:
    config, out = tmp_path / "run.json", small_disk / "run"
    config.write_text(json.dumps({**TINY, "base": str(base)}))
    filler = small_disk / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(small_disk).free - ENOUGH_TO_BEGIN))
    command = [sys.executable, "-c", "from umo_cli.main import main; main()", "run", "--no-open"]
    command += ["--config", str(config), "--out", str(out)]

    stopped = subprocess.run(command, capture_output=True, text=True, check=False)
    assert stopped.returncode == ExitCode.FAILED
    errors = [line for line in stopped.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, stopped.stderr
    assert "free space there" in errors[0]
    for manifest in out.rglob(MANIFEST):
        read_manifest(manifest.parent, verify=True)

    filler.unlink()
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == ExitCode.OK, finished.stderr
    done = re.findall(r"^(.+): done in", stopped.stderr, re.MULTILINE)
    assert done
    for step in done:
        assert f"{step}: already there, reused" in finished.stderr

"""What the hub is asked for: a named dataset, once, and nothing when a folder is named."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.hub import FakeHub, fake_hub
from umo.errors import NotFoundError
from umo.hub import dataset_folder

NAME = "made/OmniContext"
PROGRAM = """
import sys
from umo.errors import UmoError
from umo.hub import dataset_folder
try:
    print(dataset_folder(sys.argv[1], ("*.parquet",)))
except UmoError as error:
    print(type(error).__name__, error)
"""


def download(source: str, hub: FakeHub, home: Path, **environment: str) -> str:
    """What a process of its own says: the client reads its environment when it is imported."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, source],
        env={**os.environ, **hub.environment(home), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.removesuffix("\n")


def test_a_named_dataset_is_downloaded_once(tmp_path: Path) -> None:
    (tmp_path / "there/data").mkdir(parents=True)
    (tmp_path / "there/data/train.parquet").write_bytes(b"rows")
    (tmp_path / "there/README.md").write_text("not asked for")
    with fake_hub(NAME, tmp_path / "there") as hub:
        folder = Path(download(f"hub:{NAME}", hub, tmp_path / "home"))
        assert [p.name for p in folder.rglob("*") if p.is_file()] == ["train.parquet"]
        assert (folder / "data/train.parquet").read_bytes() == b"rows"
        assert not [path for path in hub.asked if "README" in path]
        asked = len([path for path in hub.asked if "parquet" in path])
        assert download(f"hub:{NAME}", hub, tmp_path / "home") == str(folder)
        assert len([path for path in hub.asked if "parquet" in path]) == asked
        unknown = download("hub:made/nothing", hub, tmp_path / "home")
        assert unknown.startswith("NotFoundError hub:made/nothing cannot be downloaded: 404")
        assert "\n" not in unknown
    assert download(f"hub:{NAME}", hub, tmp_path / "home", HF_HUB_OFFLINE="1") == str(folder)
    alone = download(f"hub:{NAME}", hub, tmp_path / "new", HF_HUB_OFFLINE="1")
    assert alone.startswith(f"NotFoundError hub:{NAME} cannot be downloaded: ")


def test_a_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    assert dataset_folder(str(tmp_path), ("*",)) == tmp_path
    with pytest.raises(NotFoundError, match="no dataset folder"):
        dataset_folder(str(tmp_path / "none"), ("*",))

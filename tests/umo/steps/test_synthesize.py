from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from umo.data.render import RenderConfig
from umo.data.schema import Sample
from umo.data.shards import Dataset
from umo.errors import DiffersError
from umo.files import read_manifest
from umo.steps import synthesize
from umo.steps.layout import Layout

CONFIG = RenderConfig(samples=3, people={2: 1.0})


def test_dataset_is_rendered_once(tmp_path: Path) -> None:
    seen: list[dict[str, object]] = []
    first = synthesize.run(CONFIG, folder=tmp_path / "tune", progress=seen.append)
    again = synthesize.run(CONFIG, folder=tmp_path / "tune")
    other = synthesize.run(RenderConfig(samples=2), folder=tmp_path / "tune")

    assert (first.reused, again.reused, other.reused) == (False, True, False)
    assert first.digest == again.digest
    assert seen == [{"done": n, "total": 3} for n in (1, 2, 3)]
    assert len(Dataset(tmp_path / "tune")) == 2


def test_damaged_dataset_is_rendered_again(tmp_path: Path) -> None:
    first = synthesize.run(CONFIG, folder=tmp_path / "tune")
    (tmp_path / "tune/shard-00000.parquet").write_bytes(b"damaged")
    again = synthesize.run(CONFIG, folder=tmp_path / "tune")
    assert (again.reused, again.digest) == (False, first.digest)


WHOLE = RenderConfig(samples=7, people={2: 0.5, 3: 0.5})


def parts(out: Path, shards: int) -> dict[Path, str]:
    done = [
        synthesize.run_part(WHOLE, shard, shards, folder=Layout(out).part("tune", shard, shards))
        for shard in range(shards)
    ]
    return {one.folder: one.digest for one in done}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthesize.run(WHOLE, folder=tmp_path_factory.mktemp("whole") / "tune").folder


@pytest.mark.parametrize("shards", [2, 9])
def test_parts_join_to_the_same_bytes(tmp_path: Path, whole: Path, shards: int) -> None:
    """Data and manifest, and with more parts than samples too."""
    joined = synthesize.join(WHOLE, parts(tmp_path, shards), folder=tmp_path / "tune")
    again = synthesize.join(WHOLE, {}, folder=tmp_path / "tune")
    rendered = synthesize.run(WHOLE, folder=tmp_path / "tune")

    assert read_manifest(tmp_path / "tune", verify=True) == read_manifest(whole)
    assert (joined.reused, again.reused, rendered.reused) == (False, True, True)
    assert joined.digest == again.digest == rendered.digest


def test_rejected_samples_of_all_parts_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part whose every sample is rejected is an empty one."""

    def strict(samples: Iterable[Sample], detector: object, rejected: Callable[[str], None]) -> Any:
        for sample in samples:
            if sample.key < f"tune-{WHOLE.seed}-000003":
                rejected(sample.key)
            else:
                yield sample

    monkeypatch.setattr(synthesize, "with_faces", strict)
    synthesize.run(WHOLE, folder=tmp_path / "whole")
    joined = synthesize.join(WHOLE, parts(tmp_path, 3), folder=tmp_path / "tune").folder
    assert len(read_manifest(joined)["rejected"]) == 3
    assert read_manifest(joined, verify=True) == read_manifest(tmp_path / "whole")


def test_a_part_that_is_not_the_promised_one_is_refused(tmp_path: Path) -> None:
    promised = parts(tmp_path, 2)
    first, second = promised
    with pytest.raises(DiffersError, match="was promised"):
        synthesize.join(WHOLE, {first: promised[second]}, folder=tmp_path / "tune")
    (first / "shard-00000.parquet").write_bytes(b"damaged")
    with pytest.raises(DiffersError, match="has sha256"):
        synthesize.join(WHOLE, promised, folder=tmp_path / "tune")
    assert not (tmp_path / "tune").exists()
    assert parts(tmp_path, 2) == promised

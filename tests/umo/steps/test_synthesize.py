from pathlib import Path

from umo.data.render import RenderConfig
from umo.data.shards import Dataset
from umo.steps import synthesize

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

import json
from pathlib import Path

import pytest

from umo.tracking import Run


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


def test_run_is_resumed_by_identity(out: Path) -> None:
    first = Run.open(out, name="tuned", identity="one")
    assert Run.open(out, name="tuned", identity="one").id == first.id
    assert Run.open(out, name="tuned", identity="two").id != first.id
    assert (out / "mlflow.db").is_file()


def test_logging_twice_changes_nothing(out: Path, tmp_path: Path) -> None:
    records = [{"step": i, "reward": i / 10, "note": "text"} for i in range(3)]
    curve = tmp_path / "metrics.jsonl"
    curve.write_text("\n".join(map(json.dumps, records)))
    run = Run.open(out, name="tuned", identity="curves")
    for _ in range(2):
        run.parameters({"seed": 3, "train": {"rank": 8}})
        run.scores({"tuned": {"id_sim": 41.5}, "label": "x"})
        run.curves(curve)
        run.file(curve, "logs")
    run.finish()

    data = run.client.get_run(run.id).data
    assert data.params == {"seed": "3", "train.rank": "8"}
    assert data.metrics["tuned.id_sim"] == 41.5
    points = run.client.get_metric_history(run.id, "curve.reward")
    assert [(p.step, p.value) for p in points] == [(0, 0.0), (1, 0.1), (2, 0.2)]
    assert (out / "artifacts" / run.id / "artifacts/logs/metrics.jsonl").is_file()

from typing import Any

import pytest

from umo_cli import run


def scores(value: float) -> dict[str, Any]:
    names = {"id_sim": value, "id_conf": value + 1}
    return {"judge": names, "reward": names, "faces_found": 250, "faces_expected": 260}


SUMMARY: dict[str, Any] = {
    "report": "/somewhere/with/a/long/path/that/does/not/fit/runs/default/evaluation/report.html",
    "model": "umo-embedded-candidates",
    "version": "3",
    "digest": "0123456789abcdef" * 4,
    "mlflow": "/somewhere/runs/default/mlflow.db",
    "seconds": 723.4,
    "peak_memory_mb": 2048,
    "people": 240,
    "base": scores(31.821),
    "tuned": scores(35.0),
    "reference": scores(61.06),
    "gain": {
        "id_sim": {"mean": 3.18, "low": 2.1, "high": 4.3},
        "id_conf": {"mean": -0.5, "low": -1.25, "high": 0.25},
    },
    "gap_closed": 0.41,
}


def test_summary_shows_models_side_by_side(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    run.show(SUMMARY)
    printed = capsys.readouterr().out
    gains = printed.partition("over base")[2].splitlines()
    assert gains[3].split() == ["ID-Conf", "-0.50", "-1.25", "+0.25"]
    assert "31.82" in printed
    assert "240 people never seen" in printed
    assert "250/260" in printed
    assert printed.splitlines()[-1].endswith("runs/default/evaluation/report.html")
    assert all(len(line) <= 80 for line in printed.splitlines()[:-2])


def test_summary_without_a_reference(capsys: pytest.CaptureFixture[str]) -> None:
    run.show({**SUMMARY, "reference": None, "gap_closed": None})
    assert "reference" not in capsys.readouterr().out

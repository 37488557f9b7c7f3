"""The pairwise way and ours score the same; what the benchmark compares is only the way."""

from pathlib import Path

import pytest

from benchmarks.evaluation.side_by_side import SideBySide, run_share, summarise


def test_both_ways_have_the_same_scores_also_if_they_were_stopped(tmp_path: Path) -> None:
    stopped = SideBySide(tmp_path, items=2, side=384)
    run_share(stopped, 0, 1, pairwise_items=1, minutes=60)
    run = SideBySide(tmp_path, items=2, side=384)
    before = {way: run.records(way) for way in ("ours", "pairwise")}
    run_share(run, 0, 1, pairwise_items=2, minutes=60)
    assert run.records("ours") == before["ours"], "nothing is timed twice"
    assert run.records("pairwise")["0"] == before["pairwise"]["0"]
    run.score()
    result = summarise(run)
    assert (result["items"], result["pictures"], result["pairwise_items"]) == (2, 8, 2)
    assert result["id_sim_difference"] == pytest.approx(0, abs=1e-2)
    assert result["id_conf_difference"] == pytest.approx(0, abs=1e-2)
    assert set(result["an_item_by_people"]) == {"1", "2"}

"""The pairwise way and ours score the same; what the benchmark compares is only the way."""

from pathlib import Path

import pytest

from benchmarks.evaluation.side_by_side import compare


def test_both_ways_have_the_same_scores(tmp_path: Path) -> None:
    result = compare(2, 384, 2, tmp_path)
    assert (result["items"], result["pictures"], result["pairwise_items"]) == (2, 8, 2)
    assert result["id_sim_difference"] == pytest.approx(0, abs=1e-2)
    assert result["id_conf_difference"] == pytest.approx(0, abs=1e-2)
    assert set(result["seconds_of_an_item_by_people"]) == {"1", "2"}

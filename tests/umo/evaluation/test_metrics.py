import itertools

import numpy as np
import pytest

from umo.evaluation.metrics import (
    METRICS,
    Interval,
    Values,
    assigned,
    bootstrap,
    copy_paste,
    count_faces,
    extra,
    id_conf,
    id_conf_scripts,
    id_sim,
    mean,
    missing,
    mixed,
    placed,
)


def matrix(rows: list[list[float]]) -> Values:
    return np.array(rows, dtype=float).reshape(len(rows), -1)


def random_matrices(items: int, seed: int) -> list[Values]:
    rng = np.random.default_rng(seed)
    return [
        rng.uniform(-0.3, 0.9, size=(rng.integers(1, 5), rng.integers(0, 5))) for _ in range(items)
    ]


def slow_id_sim(similarity: Values) -> list[float]:
    return [max([float(e) for e in row], default=0.0) for row in similarity]


def slow_id_conf(similarity: Values) -> list[float]:
    scores = []
    for row in similarity:
        ordered = sorted((float(e) for e in row), reverse=True)
        if len(ordered) < len(similarity) or ordered[0] <= 0:
            scores.append(0.0)
        else:
            second = ordered[1] if len(ordered) > 1 else 0.0
            scores.append(min(max(1 - second / ordered[0], 0.0), 1.0))
    return scores


def slow_id_conf_scripts(similarity: Values) -> list[float]:
    scores = []
    for row in similarity:
        if len(row) >= 2:
            first, second = sorted((float(e) for e in row), reverse=True)[:2]
            scores.append(min(1, (first - second) / first) if first > 0 else 0)
    return scores


def slow_assigned(similarity: Values) -> list[int]:
    """Try every one-to-one assignment of as many people as there are faces for."""
    people, faces = similarity.shape
    choices = [*range(faces), *[-1] * people]
    best, best_sum = [-1] * people, -np.inf
    for choice in set(itertools.permutations(choices, people)):
        if sum(face >= 0 for face in choice) == min(people, faces):
            total = sum(similarity[j, face] for j, face in enumerate(choice) if face >= 0)
            if total > best_sum:
                best, best_sum = list(choice), total
    return best


def slow_mixed(similarity: Values) -> list[float]:
    people, faces = similarity.shape
    if people < 2 or faces == 0:
        return []
    best = [row.index(max(row)) for row in similarity.tolist()]
    return [float(best.count(face) > 1) for face in best]


def slow_placed(similarity: Values, centres: Values, arrangement: list[int]) -> list[float]:
    people, faces = similarity.shape
    if people < 2:
        return []
    if faces < people:
        return [0.0] * people
    own = [centres[face] for face in slow_assigned(similarity)]
    return [float(sum(x < own[j] for x in own) == arrangement[j]) for j in range(people)]


def slow_copy_paste(similarity: Values, same: list[float]) -> list[float]:
    values = []
    for row, real in zip(similarity, same, strict=True):
        if len(row) == 0 or real != real:
            values.append(float("nan"))
        else:
            values.append(max(max(float(e) for e in row) - real, 0.0))
    return values


def test_mistakes_equal_the_slow_definitions() -> None:
    rng = np.random.default_rng(8)
    for similarity in random_matrices(150, seed=6):
        people, faces = similarity.shape
        centres = rng.permutation(faces).astype(float)
        arrangement = rng.permutation(people).tolist()
        same = np.where(rng.random(people) < 0.3, np.nan, rng.uniform(0.2, 0.7, size=people))
        slow = slow_assigned(similarity)
        assert assigned(similarity).tolist() == slow
        assert missing(similarity).tolist() == [float(face < 0) for face in slow]
        assert extra(similarity).tolist() == [max(faces - people, 0)]
        assert mixed(similarity).tolist() == slow_mixed(similarity)
        assert placed(similarity, centres, arrangement).tolist() == slow_placed(
            similarity, centres, arrangement
        )
        assert copy_paste(similarity, same) == pytest.approx(
            slow_copy_paste(similarity, same.tolist()), nan_ok=True
        )


NOBODY: list[float] = []


@pytest.mark.parametrize(
    ("similarity", "lost", "too_many", "confused", "right"),
    [
        pytest.param([[0.8, 0.2], [0.3, 0.6]], [0, 0], [0], [0, 0], [1, 1], id="as asked"),
        pytest.param([[0.2, 0.8], [0.6, 0.3]], [0, 0], [0], [0, 0], [0, 0], id="swapped"),
        pytest.param([[0.8, 0.7], [0.9, 0.1]], [0, 0], [0], [1, 1], [0, 0], id="one best face"),
        pytest.param([[0.5, 0.5], [0.5, 0.5]], [0, 0], [0], [1, 1], [1, 1], id="all tied"),
        pytest.param([[0.8], [0.1]], [0, 1], [0], [1, 1], [0, 0], id="one face for two"),
        pytest.param([[], []], [1, 1], [0], NOBODY, [0, 0], id="no face"),
        pytest.param([[0.8, 0.2]], [0], [1], NOBODY, NOBODY, id="one person, an extra face"),
        pytest.param([[0.8]], [0], [0], NOBODY, NOBODY, id="one person alone"),
        pytest.param(
            [[0.1, 0.8, 0.2], [0.2, 0.1, 0.9]], [0, 0], [1], [0, 0], [1, 1], id="stranger first"
        ),
        pytest.param(
            [[0.9, 0, 0], [0, 0, 0.8], [0, 0.7, 0]], [0] * 3, [0], [0] * 3, [1, 0, 0], id="two swap"
        ),
    ],
)
def test_mistakes_by_hand(
    similarity: list[list[float]],
    lost: list[float],
    too_many: list[float],
    confused: list[float],
    right: list[float],
) -> None:
    """Faces stand from left to right; people were asked for in their order."""
    cosines = matrix(similarity)
    people, faces = cosines.shape
    assert missing(cosines).tolist() == lost
    assert extra(cosines).tolist() == too_many
    assert mixed(cosines).tolist() == confused
    assert placed(cosines, np.arange(faces, dtype=float), range(people)).tolist() == right


def test_nobody_asked_for_cannot_be_missing_or_outnumbered() -> None:
    empty = np.zeros((0, 2))
    assert missing(empty).size == extra(empty).size == mixed(empty).size == 0


def test_copy_paste_by_hand() -> None:
    cosines = matrix([[0.9, 0.1], [0.2, 0.4], [0.5, 0.3]])
    excess = copy_paste(cosines, np.array([0.6, 0.6, np.nan]))
    assert excess == pytest.approx([0.3, 0, np.nan], nan_ok=True)
    assert np.isnan(copy_paste(np.zeros((2, 0)), np.array([0.5, 0.5]))).all()


def test_a_lost_face_hides_no_swap() -> None:
    for similarity in random_matrices(200, seed=9):
        people, faces = similarity.shape
        if not 2 <= people == faces:
            continue
        whole = placed(similarity, np.arange(faces, dtype=float), range(people)).sum()
        for lost in range(faces):
            rest = np.delete(similarity, lost, axis=1)
            assert placed(rest, np.arange(faces - 1, dtype=float), range(people)).sum() <= whole


@pytest.mark.parametrize(
    ("similarity", "sim", "conf", "scripts"),
    [
        pytest.param([[0.8, 0.2], [0.3, 0.6]], [0.8, 0.6], [0.75, 0.5], [0.75, 0.5], id="M=N"),
        pytest.param([[0.8, 0.2, 0.4]], [0.8], [0.5], [0.5], id="extra faces"),
        pytest.param([[0.8, -0.4], [0.1, 0.5]], [0.8, 0.5], [1.0, 0.8], [1.0, 0.8], id="below 0"),
        pytest.param([[-0.2, -0.4], [0.1, 0.1]], [-0.2, 0.1], [0, 0], [0, 0], id="nobody, tie"),
        pytest.param([[0.8], [0.1]], [0.8, 0.1], [0, 0], [], id="one face for two people"),
        pytest.param(
            [[0.9, 0.0], [0.0, 0.9], [0.2, 0.1]],
            [0.9, 0.9, 0.2],
            [0, 0, 0],
            [1, 1, 0.5],
            id="two faces for three people",
        ),
        pytest.param([[0.7]], [0.7], [1.0], [], id="one person alone"),
        pytest.param([[-0.1]], [-0.1], [0.0], [], id="one stranger alone"),
        pytest.param([[], []], [0, 0], [0, 0], [], id="no face"),
    ],
)
def test_hand_computed(
    similarity: list[list[float]], sim: list[float], conf: list[float], scripts: list[float]
) -> None:
    cosines = matrix(similarity)
    assert id_sim(cosines) == pytest.approx(sim)
    assert id_conf(cosines) == pytest.approx(conf)
    assert id_conf_scripts(cosines) == pytest.approx(scripts)


def test_equals_the_slow_definitions() -> None:
    for similarity in random_matrices(200, seed=1):
        assert id_sim(similarity) == pytest.approx(slow_id_sim(similarity))
        assert id_conf(similarity) == pytest.approx(slow_id_conf(similarity))
        assert id_conf_scripts(similarity) == pytest.approx(slow_id_conf_scripts(similarity))


def test_losing_a_face_never_raises_the_papers_confidence() -> None:
    for similarity in random_matrices(200, seed=2):
        people, faces = similarity.shape
        if faces > people:
            continue
        for lost in range(faces):
            rest = np.delete(similarity, lost, axis=1)
            assert id_conf(rest).sum() <= id_conf(similarity).sum()


def test_the_scripts_confidence_can_rise_when_a_face_is_lost() -> None:
    confused = matrix([[0.6, 0.59, 0], [0.59, 0.6, 0], [0, 0, 0.6]])
    rest = np.delete(confused, 0, axis=1)
    assert id_conf_scripts(rest).mean() > id_conf_scripts(confused).mean()


@pytest.mark.parametrize(
    ("similarity", "expected", "found", "missing", "extra", "shared"),
    [
        ([[0.8, 0.2], [0.3, 0.6]], 2, 2, 0, 0, 0),
        ([[0.8, 0.2], [0.7, 0.6]], 2, 2, 0, 0, 1),
        ([[0.8, 0.2, 0.1]], 1, 1, 0, 2, 0),
        ([[0.8], [0.1], [0.2]], 3, 1, 2, 0, 2),
        ([[], []], 2, 0, 2, 0, 0),
    ],
)
def test_count_faces(
    similarity: list[list[float]], expected: int, found: int, missing: int, extra: int, shared: int
) -> None:
    count = count_faces(matrix(similarity))
    assert (count.expected, count.found, count.missing) == (expected, found, missing)
    assert (count.extra, count.shared) == (extra, shared)


def test_mean_pools_references_not_items() -> None:
    assert mean([np.array([1.0]), np.array([0.0, 0.5, 0.5])]) == pytest.approx(50)
    assert mean([np.zeros(0), np.array([0.25])]) == pytest.approx(25)
    assert mean([np.zeros(0)]) == 0


def slow_bootstrap(
    values: list[Values], minus: list[Values] | None, seed: int, resamples: int
) -> Interval:
    rng = np.random.default_rng(seed)
    means = []
    for _ in range(resamples):
        rows = rng.integers(len(values), size=len(values))
        difference = mean([values[row] for row in rows])
        if minus is not None:
            difference -= mean([minus[row] for row in rows])
        means.append(difference)
    low, high = np.percentile(means, [2.5, 97.5])
    observed = mean(values) - (mean(minus) if minus is not None else 0)
    return Interval(mean=observed, low=float(low), high=float(high))


@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize("metric", list(METRICS))
def test_bootstrap_equals_the_slow_one_draw_by_draw(metric: str, paired: bool) -> None:
    values = [METRICS[metric](s) for s in random_matrices(20, seed=3)]
    minus = [METRICS[metric](s) for s in random_matrices(20, seed=4)] if paired else None
    fast = bootstrap(values, minus, rng=np.random.default_rng(7), resamples=300)
    slow = slow_bootstrap(values, minus, seed=7, resamples=300)
    assert (fast.mean, fast.low, fast.high) == pytest.approx((slow.mean, slow.low, slow.high))


def test_bootstrap_is_paired_and_seeded() -> None:
    rng = np.random.default_rng(0)
    base = [rng.uniform(0, 1, size=2) for _ in range(60)]
    better = [values + 0.05 for values in base]
    gain = bootstrap(better, base, rng=np.random.default_rng(1))
    assert (gain.mean, gain.low, gain.high) == pytest.approx((5, 5, 5))
    level = bootstrap(base, rng=np.random.default_rng(1), resamples=2_500)
    assert level == bootstrap(base, rng=np.random.default_rng(1), resamples=2_500)
    assert level.low < level.mean < level.high


def test_bootstrap_covers_the_true_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(100):
        sample = bootstrap(
            [rng.normal(0.5, 0.1, size=1) for _ in range(40)], rng=rng, resamples=400
        )
        hits += sample.low <= 50 <= sample.high
    assert 86 <= hits <= 100


def test_bootstrap_refuses_what_cannot_be_paired() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="2 items cannot be paired with 1"):
        bootstrap([np.ones(1), np.ones(1)], [np.ones(1)], rng=rng)
    with pytest.raises(ValueError, match="no items"):
        bootstrap([], rng=rng)


def test_every_pair_of_sizes_is_defined() -> None:
    for people, faces in itertools.product(range(5), range(5)):
        for metric in METRICS.values():
            assert np.isfinite(metric(np.full((people, faces), 0.5))).all()

import itertools

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from umo.errors import UmoError, UsageError
from umo.rewards.matching import MatchingConfig, matching_reward, matching_rewards
from umo.rewards.single import single_reward

IDENTITIES = MatchingConfig(normalise="identities")


def vectors(similarity: list[list[float]]) -> tuple[Tensor, Tensor]:
    """Embeddings with exactly these cosines: the references are the axes of the space."""
    generated = torch.tensor(similarity, dtype=torch.double).T
    return torch.eye(len(similarity), dtype=torch.double), generated


def random_faces(count: int, seed: int, width: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(count, width, generator=generator, dtype=torch.double), dim=1)


def slow_reward(reference: Tensor, generated: Tensor, config: MatchingConfig) -> float:
    """The formulas of the module docstring, term by term, over every one-to-one assignment."""
    cosines = [[float(r @ g) for g in generated] for r in reference]
    people, faces = len(reference), len(generated)
    penalty = config.missing_penalty * max(people - faces, 0) / people
    if faces == 0:
        return -penalty
    small = min(people, faces)
    candidates = [
        dict(zip(rows, columns, strict=True))
        for rows in itertools.combinations(range(people), small)
        for columns in itertools.permutations(range(faces), small)
    ]
    best = max(candidates, key=lambda s: sum(cosines[j][k] for j, k in s.items()))
    total = 0.0
    for j in range(people):
        for k in range(faces):
            cosine = cosines[j][k]
            if best.get(j) == k:
                total += cosine / (faces if config.normalise == "pairs" else 1)
                continue
            if config.clamp_mismatch:
                cosine = max(cosine, 0.0)
            others = faces if config.normalise == "pairs" else max(people, faces) - 1
            total += config.mismatch * cosine / others
    return total / people - penalty


@pytest.mark.parametrize(
    ("similarity", "pairs", "identities", "assignment"),
    [
        pytest.param([[0.7]], 0.7, 0.7, [[0, 0]], id="one person is SIR"),
        # matched .8 + .6, others .2 + .4: (1.4 - .6)/4 and (1.4 - .6)/2
        pytest.param([[0.8, 0.2], [0.4, 0.6]], 0.2, 0.4, [[0, 0], [1, 1]], id="M=N"),
        # the best pair (.9) is given up: .8 + .7 > .9 + .3
        pytest.param([[0.9, 0.8], [0.7, 0.3]], 0.075, 0.15, [[0, 1], [1, 0]], id="crossed"),
        # M<N: matched .9 + .8, others .1 + .2 + .3 + .4 = 1: .7/6; (1.7 - 1/2)/2
        pytest.param(
            [[0.1, 0.9, 0.2], [0.3, 0.4, 0.8]], 0.7 / 6, 0.6, [[0, 1], [1, 2]], id="extra face"
        ),
        # M>N: matched .9, other .3: .6/2; (.9 - .3/1)/2
        pytest.param([[0.3], [0.9]], 0.3, 0.3, [[1, 0]], id="missing face"),
        # M=3, N=2: matched .9 + .8, others .1*4: 1.3/6; (1.7 - .4/2)/3
        pytest.param(
            [[0.9, 0.1], [0.1, 0.1], [0.1, 0.8]], 1.3 / 6, 0.5, [[0, 0], [2, 1]], id="3 and 2"
        ),
        pytest.param([[0.5, 0.5], [0.5, 0.5]], 0.0, 0.0, [[0, 0], [1, 1]], id="ties"),
    ],
)
def test_hand_computed(
    similarity: list[list[float]], pairs: float, identities: float, assignment: list[list[int]]
) -> None:
    result = matching_reward(*vectors(similarity))
    assert result.reward.item() == pytest.approx(pairs)
    assert result.assignment.tolist() == assignment
    assert torch.equal(result.similarity, torch.tensor(similarity, dtype=torch.double))
    assert matching_reward(*vectors(similarity), IDENTITIES).reward.item() == pytest.approx(
        identities
    )


def test_parts() -> None:
    result = matching_reward(*vectors([[0.9, 0.1], [0.1, 0.1], [0.1, 0.8]]))
    assert result.matched == pytest.approx(0.85)
    assert result.mismatched == pytest.approx(0.1)
    assert result.missing == 1
    assert not result.similarity.requires_grad


@pytest.mark.parametrize(("people", "faces"), [(0, 0), (0, 2), (2, 0)])
def test_no_face_scores_zero(people: int, faces: int) -> None:
    result = matching_reward(random_faces(people, 0), random_faces(faces, 1).requires_grad_())
    assert result.reward.item() == 0
    assert result.assignment.shape == (0, 2)
    assert (result.matched, result.mismatched) == (0, 0)
    assert result.missing == max(people - faces, 0)


def test_missing_penalty_takes_its_share_of_the_people() -> None:
    config = MatchingConfig(missing_penalty=0.5)
    one_of_two = vectors([[0.9], [0.3]])
    expected = matching_reward(*one_of_two).reward.item() - 0.25
    assert matching_reward(*one_of_two, config).reward.item() == pytest.approx(expected)
    assert matching_reward(random_faces(3, 0), random_faces(0, 1), config).reward.item() == -0.5
    assert matching_reward(random_faces(0, 0), random_faces(2, 1), config).reward.item() == 0


def test_the_papers_scale_shrinks_with_people_and_identities_does_not() -> None:
    for people in (1, 2, 3, 4):
        perfect = torch.eye(people)
        assert matching_reward(perfect, perfect).reward.item() == pytest.approx(1 / people)
        assert matching_reward(perfect, perfect, IDENTITIES).reward.item() == pytest.approx(1)


def test_the_paper_does_not_mind_a_missing_person_and_the_platform_does() -> None:
    pair = torch.eye(2)
    assert matching_reward(pair, pair[:1]).reward == matching_reward(pair, pair).reward
    platform = MatchingConfig.platform()
    assert matching_reward(pair, pair[:1], platform).reward < 0


@pytest.mark.parametrize("width", [2, 3, 8])
def test_losing_a_face_never_raises_the_platform_reward(width: int) -> None:
    platform = MatchingConfig.platform()
    for seed in range(60):
        people = 1 + seed % 4
        reference = random_faces(people, seed, width)
        faces = random_faces(1 + seed % people, 1000 + seed, width)
        if seed % 3 == 0:
            faces = -faces.abs()
        full = matching_reward(reference, faces, platform).reward
        for lost in range(len(faces)):
            rest = faces[[k for k in range(len(faces)) if k != lost]]
            assert matching_reward(reference, rest, platform).reward <= full + 1e-12


def test_clamp_stops_paying_below_zero() -> None:
    apart = vectors([[0.8, -0.4], [-0.2, 0.8]])
    assert matching_reward(*apart).reward.item() == pytest.approx((1.6 + 0.6) / 4)
    clamped = MatchingConfig(clamp_mismatch=True)
    assert matching_reward(*apart, clamped).reward.item() == pytest.approx(1.6 / 4)


@pytest.mark.parametrize(
    "config",
    [
        MatchingConfig(),
        MatchingConfig(mismatch=-0.3, missing_penalty=0.7),
        MatchingConfig(clamp_mismatch=True),
        MatchingConfig(normalise="identities", clamp_mismatch=True),
        MatchingConfig.platform(),
    ],
)
def test_equals_the_formula_over_all_assignments(config: MatchingConfig) -> None:
    for seed, (people, faces) in enumerate(itertools.product((1, 2, 3, 4), (0, 1, 2, 3, 4))):
        reference, generated = random_faces(people, seed), random_faces(faces, 100 + seed)
        fast = matching_reward(reference, generated, config).reward.item()
        assert fast == pytest.approx(slow_reward(reference, generated, config)), (people, faces)


def test_one_person_is_the_single_reward() -> None:
    reference, generated = random_faces(1, 0), random_faces(1, 1)
    assert (
        matching_reward(reference, generated).reward == single_reward(reference, generated).reward
    )


def test_batch_equals_one_by_one() -> None:
    references = [random_faces(n, n) for n in (1, 2, 3, 2)]
    generated = [random_faces(n, 10 + n) for n in (2, 2, 1, 0)]
    batch = matching_rewards(references, generated, IDENTITIES)
    for result, reference, faces in zip(batch, references, generated, strict=True):
        alone = matching_reward(reference, faces, IDENTITIES)
        assert torch.equal(result.reward, alone.reward)
        assert torch.equal(result.assignment, alone.assignment)


@pytest.mark.parametrize("config", [MatchingConfig(), IDENTITIES, MatchingConfig.platform()])
@pytest.mark.parametrize("faces", [1, 2, 3])
def test_gradient_is_that_of_finite_differences(config: MatchingConfig, faces: int) -> None:
    reference = random_faces(2, 3)

    def reward(generated: Tensor) -> Tensor:
        return matching_reward(reference, normalize(generated, dim=1), config).reward

    assert torch.autograd.gradcheck(reward, random_faces(faces, 4).requires_grad_())


def test_ties_are_broken_the_same_way_every_time() -> None:
    same = normalize(torch.ones(3, 4), dim=1)
    assignments = [matching_reward(same, same).assignment.tolist() for _ in range(5)]
    assert assignments == [[[0, 0], [1, 1], [2, 2]]] * 5


def test_bad_input_is_refused() -> None:
    with pytest.raises(UsageError, match=r"\[2, 6\].*\[2, 5\]"):
        matching_reward(random_faces(2, 0), random_faces(2, 0, width=5))
    with pytest.raises(UmoError, match="not finite"):
        matching_reward(random_faces(2, 0), torch.full((2, 6), float("nan"), dtype=torch.double))
    with pytest.raises(ValueError, match=r"mismatch is 0\.5"):
        MatchingConfig(mismatch=0.5)
    with pytest.raises(ValueError, match="missing_penalty is -1"):
        MatchingConfig(missing_penalty=-1)

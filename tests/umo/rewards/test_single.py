import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from umo.rewards.single import single_reward, single_rewards


def random_faces(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(count, 6, generator=generator, dtype=torch.double), dim=1)


def test_each_reference_takes_its_best_face_even_the_same_one() -> None:
    generated = torch.tensor([[0.9, 0.6], [0.1, 0.5]])
    result = single_reward(torch.eye(2), generated)
    assert result.reward.item() == pytest.approx(0.75)
    assert result.assignment.tolist() == [[0, 0], [1, 0]]
    assert (result.matched, result.mismatched) == pytest.approx((0.75, 0.3))
    assert result.missing == 0


def test_one_person_is_the_cosine() -> None:
    reference, generated = random_faces(1, 0), random_faces(1, 1)
    assert single_reward(reference, generated).reward.item() == pytest.approx(
        float(reference[0] @ generated[0])
    )


@pytest.mark.parametrize(("people", "faces"), [(0, 0), (0, 1), (2, 0)])
def test_no_face_scores_zero(people: int, faces: int) -> None:
    result = single_reward(random_faces(people, 0), random_faces(faces, 1))
    assert result.reward.item() == 0
    assert result.assignment.shape == (0, 2)
    assert result.missing == max(people - faces, 0)


def test_batch_equals_one_by_one_and_gradient_is_right() -> None:
    references = [random_faces(n, n) for n in (1, 3)]
    generated = [random_faces(n, 10 + n) for n in (2, 1)]
    for result, reference, faces in zip(
        single_rewards(references, generated), references, generated, strict=True
    ):
        assert torch.equal(result.reward, single_reward(reference, faces).reward)

        def reward(candidate: Tensor, reference: Tensor = reference) -> Tensor:
            return single_reward(reference, normalize(candidate, dim=1)).reward

        assert torch.autograd.gradcheck(reward, faces.clone().requires_grad_())

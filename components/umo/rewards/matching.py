"""MIMR, the multi-identity matching reward (UMO, arXiv 2509.06818, section 3.2).

M reference faces, N generated faces, `e[j,k]` the cosine of reference j and generated face k:

    s* = argmax_s sum_j e[j,s(j)]                     one-to-one over min(M,N) people (Hungarian)
    R  = 1/(M N) sum_{j,k} w[j,k] e[j,k]              w = +1 if k = s*(j), else `mismatch` (-1)

`s*` is found on detached cosines; the gradient flows through `e` alone. `MatchingConfig()` keeps
the paper's formula, with its three consequences:

- With unmatched cosines at 0 the best R is `1/max(M,N)`: the scale shrinks as people are added.
- A missing person costs nothing: M=2 with one perfect face scores 1/2, just as two perfect faces.
- The mismatch term goes on paying for cosines below 0, where people are already different.

Each has its option. `normalise="identities"` takes the matched sum over M and, for each identity,
the mean over its `max(M,N) - 1` other people, a missing one counting as cosine 0:

    R = 1/M sum_j ( e[j,s*(j)] + mismatch/(max(M,N) - 1) sum_{k != s*(j)} e[j,k] )

so perfect pictures score 1 whatever the number of people, and M=N=1 is SIR under both.
`missing_penalty` subtracts `missing_penalty * max(M-N,0) / M`. It is constant in the pixels: it
ranks pictures and enters logs, it does not steer a gradient. `clamp_mismatch` sets mismatched
cosines below 0 to 0.

`MatchingConfig.platform()` is the setting under which losing a person's face never raises the
reward. Proof, with `mismatch=-1`, N <= M and face k lost: extending the optimum of the remaining
faces by k at any free reference f gives `A >= A' + e[f,k]` for the matched sums, hence
`M (R' - R) <= -e[f,k] + mean_{j != f} e[j,k] - missing_penalty <= 2 - missing_penalty`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from umo.errors import UmoError, UsageError


@dataclass(frozen=True, kw_only=True)
class MatchingConfig:
    """The weights of the matching reward; the defaults are the paper's."""

    mismatch: float = -1.0
    """Weight of the cosines of unmatched pairs; 0 or less."""
    missing_penalty: float = 0.0
    """Subtracted for each missing person, as a share of the people asked for; 0 or more."""
    normalise: Literal["pairs", "identities"] = "pairs"
    """Divide by all M*N pairs (paper), or per identity, so that people do not shrink the scale."""
    clamp_mismatch: bool = False
    """Whether unmatched cosines below 0 count as 0."""

    def __post_init__(self) -> None:
        if self.mismatch > 0:
            raise ValueError(f"mismatch is {self.mismatch}: it rewards confusion; use 0 or less")
        if self.missing_penalty < 0:
            raise ValueError(
                f"missing_penalty is {self.missing_penalty}: it rewards missing people; "
                "use 0 or more"
            )

    @classmethod
    def platform(cls) -> "MatchingConfig":
        """The setting under which losing a person's face never raises the reward."""
        return cls(normalise="identities", missing_penalty=2.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class MatchingResult:
    """A reward and what it was made of."""

    reward: Tensor
    """Scalar, with gradient to the generated embeddings where there are any."""
    assignment: Tensor
    """Long `[K,2]`: reference index, generated index; ascending in the reference."""
    similarity: Tensor
    """Cosines `[M,N]`, detached."""
    matched: float
    """Mean cosine of the assigned pairs; 0 without any."""
    mismatched: float
    """Mean cosine of the other pairs; 0 without any."""
    missing: int
    """How many faces fewer than references: `max(M-N,0)`."""


def matching_reward(
    reference: Tensor, generated: Tensor, config: MatchingConfig | None = None
) -> MatchingResult:
    """MIMR of one picture.

    Args:
        reference: Unit embeddings `[M,D]` of the people asked for.
        generated: Unit embeddings `[N,D]` of the faces of the picture.
        config: Weights; None is the paper's.

    Returns:
        The reward, exactly 0 less the missing penalty where either side has no face.

    Raises:
        UsageError: The embeddings are not two matrices of one width.
        UmoError: A cosine is not finite.
    """
    config = config or MatchingConfig()
    similarity = similarities(reference, generated)
    people, faces = similarity.shape
    missing = max(people - faces, 0)
    rows, columns = linear_sum_assignment(similarity.detach().cpu().double(), maximize=True)
    assignment = torch.stack([torch.as_tensor(rows), torch.as_tensor(columns)], dim=1)
    assignment = assignment.to(similarity.device)
    matched, mismatched = split(similarity, assignment)
    if similarity.numel() == 0:
        reward = similarity.new_zeros(())
    else:
        unpaid = mismatched.clamp(min=0) if config.clamp_mismatch else mismatched
        if config.normalise == "pairs":
            reward = (matched.sum() + config.mismatch * unpaid.sum()) / (people * faces)
        else:
            others = max(people, faces) - 1
            reward = (matched.sum() + config.mismatch * unpaid.sum() / max(others, 1)) / people
    if missing:
        reward = reward - config.missing_penalty * missing / people
    return result(reward, assignment, similarity)


def matching_rewards(
    references: Sequence[Tensor], generated: Sequence[Tensor], config: MatchingConfig | None = None
) -> list[MatchingResult]:
    """MIMR of each picture of a batch: ragged lists of `[M_i,D]` and `[N_i,D]`."""
    return [
        matching_reward(reference, faces, config)
        for reference, faces in zip(references, generated, strict=True)
    ]


def similarities(reference: Tensor, generated: Tensor) -> Tensor:
    """Cosines `[M,N]` of unit embeddings `[M,D]` and `[N,D]`, with gradient.

    Raises:
        UsageError: The embeddings are not two matrices of one width.
        UmoError: A cosine is not finite.
    """
    if reference.ndim != 2 or generated.ndim != 2 or reference.shape[1] != generated.shape[1]:
        raise UsageError(
            f"reference embeddings are {list(reference.shape)}, "
            f"generated ones {list(generated.shape)}",
            hint="give [M,D] and [N,D] of the same embedder",
        )
    similarity = reference @ generated.T
    if not bool(similarity.isfinite().all()):
        raise UmoError("a face embedding is not finite", hint="lower the learning rate")
    return similarity


def split(similarity: Tensor, assignment: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines of the assigned pairs and of all others, each flat, with gradient."""
    assigned = torch.zeros_like(similarity, dtype=torch.bool)
    assigned[assignment[:, 0], assignment[:, 1]] = True
    return similarity[assigned], similarity[~assigned]


def result(reward: Tensor, assignment: Tensor, similarity: Tensor) -> MatchingResult:
    """A reward with the parts that logs and figures show."""
    matched, mismatched = split(similarity.detach(), assignment)
    people, faces = similarity.shape
    return MatchingResult(
        reward=reward,
        assignment=assignment,
        similarity=similarity.detach(),
        matched=float(matched.mean()) if len(matched) else 0.0,
        mismatched=float(mismatched.mean()) if len(mismatched) else 0.0,
        missing=max(people - faces, 0),
    )

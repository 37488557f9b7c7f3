"""SIR, the single-identity reward, for any number of people (UMO, arXiv 2509.06818, section 3.2).

For one reference and one face `R = cos(psi(generated), psi(reference))`. With M references and N
generated faces, `e[j,k]` their cosine, each reference takes its best face:

    R = 1/M sum_j max_k e[j,k]

and 0 where there is no face. Two references may take the same face, and resemblance to the wrong
reference costs nothing: what the matching reward adds.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from umo.rewards.matching import MatchingResult, result, similarities


def single_reward(reference: Tensor, generated: Tensor) -> MatchingResult:
    """SIR of one picture.

    Args:
        reference: Unit embeddings `[M,D]` of the people asked for.
        generated: Unit embeddings `[N,D]` of the faces of the picture.

    Returns:
        The reward; `assignment` names the best face of each reference, ties going to the first.

    Raises:
        UsageError: The embeddings are not two matrices of one width.
        UmoError: A cosine is not finite.
    """
    similarity = similarities(reference, generated)
    if similarity.numel() == 0:
        nobody = torch.zeros(0, 2, dtype=torch.long, device=similarity.device)
        return result(similarity.new_zeros(()), nobody, similarity)
    rows = torch.arange(len(reference), device=similarity.device)
    best = similarity.detach().argmax(dim=1)
    return result(similarity[rows, best].mean(), torch.stack([rows, best], dim=1), similarity)


def single_rewards(
    references: Sequence[Tensor], generated: Sequence[Tensor]
) -> list[MatchingResult]:
    """SIR of each picture of a batch: ragged lists of `[M_i,D]` and `[N_i,D]`."""
    return [
        single_reward(reference, faces)
        for reference, faces in zip(references, generated, strict=True)
    ]

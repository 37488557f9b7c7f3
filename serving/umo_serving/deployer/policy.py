"""What a version must show before it answers, and before it answers every call."""

import itertools
from dataclasses import dataclass

from umo.errors import UsageError
from umo_serving.folder import EMBEDDED, Weights


@dataclass(frozen=True, kw_only=True)
class Policy:
    """How careful a deployment is."""

    bases: tuple[str, ...] = (EMBEDDED,)
    """Where the bases of versions are: `embedded`, or folders."""
    pack: str = "open"
    """Face pack, see `umo.faces.packs.load_pack`."""
    weights: Weights = "auto"
    """How the weights of a base are kept."""
    steps: int = 12
    """Denoising steps of a probe."""
    score: float = 0.4
    """Least identity score of a probe, a cosine."""
    shares: tuple[float, ...] = (1.0,)
    """Parts of the calls that the new version gets one after the other; the last is all."""
    seconds: float = 300.0
    """Least time with each share."""
    calls: int = 20
    """Least calls that the new version answers with each share."""
    failures: float = 0.05
    """How much larger the part of its calls that fail may be than the champion's."""
    slowdown: float = 1.5
    """How many times as long as the champion it may take for a call."""
    loss: float = 0.05
    """How far its identity score may be below the champion's."""

    def __post_init__(self) -> None:
        """Check the shares.

        Raises:
            UsageError: They do not grow from above 0 to 1.
        """
        grows = all(low < high for low, high in itertools.pairwise((0.0, *self.shares)))
        if not self.shares or not grows or self.shares[-1] != 1.0:
            raise UsageError(
                f"the shares are {', '.join(f'{share:g}' for share in self.shares) or 'none'}",
                hint="let them grow up to 1, for example 0.05, 0.5, 1",
            )

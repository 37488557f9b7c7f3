"""Published results that a comparison stands beside, and the columns of their tables.

Numbers: UMO (arXiv 2509.06818v1), tables of XVerseBench and OmniContext; one independent run of the
released weights, as reported in the issues of the public code (github.com/bytedance/UMO, no. 13).
AVG is the mean of the other columns. The papers do not say by which definition their ID-Conf is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

PAPER = "paper"
INDEPENDENT = "independent run"
PACK = "xverse"
"""The face pack that has the networks of the published numbers."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A published result."""

    model: str
    source: str
    values: Mapping[str, float]
    """By column."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """The results of one benchmark."""

    columns: tuple[str, ...]
    """Criteria, in the paper's order; AVG follows."""
    scale: float = 1.0
    """What a criterion of 0 to 100 is multiplied by in this table."""
    rows: tuple[Row, ...] = ()


def _rows(columns: tuple[str, ...], table: str) -> tuple[Row, ...]:
    return tuple(
        Row(
            model=model,
            source=PAPER,
            values=dict(zip((*columns, "avg"), map(float, numbers.split()), strict=True)),
        )
        for model, numbers in (line.split(":") for line in table.strip().splitlines())
    )


_SINGLE = ("id_sim", "ip_sim")
_MULTI = ("id_sim", "id_conf", "ip_sim")
_CONTEXT = ("overall", "id_sim", "id_conf")

UNKNOWN = Published(columns=("id_sim", "id_conf"))
"""Of a benchmark that nobody has published results of."""

PUBLISHED: Mapping[str, Published] = MappingProxyType(
    {
        "xversebench-multi": Published(
            columns=_MULTI,
            rows=(
                *_rows(
                    _MULTI,
                    """MS-Diffusion:38.98 66.40 70.98 58.79
DreamO:50.24 68.67 64.63 61.18
XVerse:66.59 72.44 71.48 70.17
UNO:31.82 61.06 67.00 53.29
UMO on UNO:69.09 78.06 68.57 71.91
OmniGen2:40.81 62.02 67.15 56.66
UMO on OmniGen2:71.59 77.74 73.80 74.38""",
                ),
                Row(model="UMO on UNO", source=INDEPENDENT, values={"id_sim": 58.82}),
                Row(model="UMO on OmniGen2", source=INDEPENDENT, values={"id_sim": 59.98}),
            ),
        ),
        "xversebench-single": Published(
            columns=_SINGLE,
            rows=_rows(
                _SINGLE,
                """OmniGen:76.51 78.46 77.49
DreamO:75.48 70.84 73.16
XVerse:79.48 76.86 78.17
UNO:47.91 80.40 64.16
UMO on UNO:80.89 77.09 78.99
OmniGen2:62.41 74.08 68.25
UMO on OmniGen2:91.57 79.74 85.66""",
            ),
        ),
        "omnicontext": Published(
            columns=_CONTEXT,
            scale=0.1,
            rows=_rows(
                _CONTEXT,
                """UNO:4.71 1.91 4.91 3.84
UMO on UNO:5.34 4.62 6.60 5.52
OmniGen2:7.18 3.51 6.35 5.68
UMO on OmniGen2:7.16 7.07 7.60 7.28""",
            ),
        ),
    }
)
"""By the benchmark's name."""

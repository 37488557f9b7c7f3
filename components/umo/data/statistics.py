"""What a dataset holds, counted while it is written."""

from collections import Counter
from typing import Any

from umo.data.rows import Row

FACTS = ("split", "source", "licence", "consent")
MOST = 20
"""Values that are counted one by one; photographs have thousands of sizes."""
OPTIONAL = ("landmarks", "embeddings", "quality")


class Statistics:
    """Counts over rows, in their order."""

    def __init__(self) -> None:
        self._samples = 0
        self._bytes = 0
        self._views = 0
        self._identities: set[str] = set()
        self._counts = {name: Counter[str]() for name in ("people", "quality", "size", *FACTS)}
        self._present = dict.fromkeys(OPTIONAL, 0)

    def add(self, row: Row) -> None:
        """Count a row."""
        views = [view for person in row["views"] for view in person]
        pictures = [row["target"], *row["references"], *views]
        self._samples += 1
        self._bytes += sum(map(len, pictures))
        self._views += len(views)
        self._identities.update(row["identities"])
        self._counts["people"][str(row["people"])] += 1
        height, width = row["sizes"][:2]
        self._counts["size"][f"{width}x{height}"] += 1
        for name in FACTS:
            self._counts[name][row[name]] += 1
        for name in OPTIONAL:
            self._present[name] += row[name] is not None
        if row["quality"] is not None:
            self._counts["quality"][f"{int(10 * row['quality']) / 10:.1f}"] += 1

    def facts(self) -> dict[str, Any]:
        """For the manifest; plain JSON values. `quality` counts by tenths, rounded down."""
        return {
            "samples": self._samples,
            "identities": len(self._identities),
            "picture_bytes": self._bytes,
            "views": self._views,
            **{name: _most(counts) for name, counts in self._counts.items()},
            "with": dict(self._present),
        }


def _most(counts: Counter[str]) -> dict[str, int]:
    """The most frequent values, and how often there were `others`."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    others = sum(count for _, count in ranked[MOST:])
    return dict(sorted(ranked[:MOST])) | ({"others": others} if others else {})

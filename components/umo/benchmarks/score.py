"""Scores of a benchmark: the cosines of everybody asked for with every face of every picture.

    {"benchmark": {"name", "version", "items", "pictures"}, "model", "pack", "look",
     "embedders": ["judge", "reward"],
     "items": [{"key", "prompt", "group", "arrangement",
                "references": [{"name", "identity"}],
                "pictures": [{"name": "17_A_man.png#0", "error": null or one line,
                              "boxes": [[x0, y0, x1, y1]], "similarity": {"judge": [[M x N]]},
                              "measures": {}}]}],
     "same": {identity: cosine of two real pictures of that person, by the judge},
     "alike": [{"identities": [two people whom the judge hardly tells apart], "judge": cosine}],
     "absent": [reference pictures that are not there],
     "failures": [{"key", "name", "error"}]}

No mean is kept, so a metric that changes is computed again without a picture. A picture that is
missing or damaged has its `error`, no face, and is a failure; nothing is left out in silence.
Pictures of items that ask for nobody are read and not looked at.
"""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from umo.benchmarks.faces import Gallery, Look
from umo.benchmarks.item import Benchmark, Failure, Item
from umo.benchmarks.likeness import Likenesses
from umo.benchmarks.pictures import find_file, read_cells
from umo.errors import UmoError
from umo.evaluation.measure import Measured, Seen, compare
from umo.evaluation.metrics import Values
from umo.threads import one_thread

Progress = Callable[[dict[str, Any]], None]
DECIMALS = 6
"""Of a cosine."""


class Scorer:
    """Scores folders of pictures on one benchmark.

    Args:
        benchmark: What the pictures are of.
        gallery: Sees faces.
        look: How faces are seen in pictures; with `again` by the judge alone.
    """

    def __init__(self, benchmark: Benchmark, gallery: Gallery, look: Look) -> None:
        self.benchmark = benchmark
        self._gallery = gallery
        self._look = look
        self.likenesses = Likenesses(benchmark, gallery, look)
        """Of the people asked for."""

    def score(self, model: str, pictures: Path, progress: Progress) -> dict[str, Any]:
        """Score a model's pictures; see the top of the module.

        Args:
            model: What to call the model.
            pictures: Folder of its pictures.
            progress: Called with `phase`, `done` and `total` items.
        """
        items = self.benchmark.items
        people = [person for item in items for person in item.people]
        failures = list(self.benchmark.failures)
        scored = []
        for done, item in enumerate(items, 1):
            scored.append(self._item(item, pictures, failures))
            progress({"phase": f"score {model}", "done": done, "total": len(items)})
        return {
            "benchmark": {
                "name": self.benchmark.name,
                "version": self.benchmark.version,
                "items": len(items),
                "pictures": self.benchmark.grid**2,
            },
            "model": model,
            "pack": self._gallery.pack.name,
            "look": self._look,
            "embedders": list(self.likenesses.embedders),
            "items": scored,
            "same": self.likenesses.same(people),
            "alike": self.likenesses.alike(people),
            "absent": self.benchmark.absent,
            "failures": [vars(failure) for failure in failures],
        }

    def look_ahead(self, pictures: Path, items: Sequence[Item], processes: int) -> Iterator[int]:
        """Look at the pictures of items with several processes.

        What they see is in the gallery then; what they cannot read is left for `score` to name.

        Yields:
            How many are done.
        """
        files = []
        for item in items:
            with suppress(UmoError):
                files += [find_file(item, pictures)] if item.people else []
        tasks = [(file, self.benchmark.grid, self._look) for file in files]
        if processes == 1:
            for done, task in enumerate(tasks, 1):
                with suppress(UmoError), one_thread():
                    self._gallery.faces(*task)
                yield done
            return
        with ProcessPoolExecutor(
            processes,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start,
            initargs=(self._gallery.folder, self._gallery.pack.name),
        ) as pool:
            yield from (done for done, _ in enumerate(pool.map(_look, tasks), 1))

    def _item(self, item: Item, pictures: Path, failures: list[Failure]) -> dict[str, Any]:
        likenesses = [self.likenesses.of(person) for person in item.people]
        failures += [
            Failure(key=item.key, name=person.name, error=likeness.error)
            for person, likeness in zip(item.people, likenesses, strict=True)
            if likeness.error
        ]
        counted = [n for n, likeness in enumerate(likenesses) if likeness.embeddings]
        references = {
            name: np.array([(likenesses[n].embeddings or {})[name] for n in counted]).reshape(
                len(counted), self.likenesses.dimension(name)
            )
            for name in self.likenesses.embedders
        }
        error = None
        try:
            file = find_file(item, pictures)
            name, cells = file.relative_to(pictures).as_posix(), self._see(file, item)
        except UmoError as unreadable:
            error, name = str(unreadable), item.file
            cells = [self._nobody() for _ in range(self.benchmark.grid**2)]
            failures.append(Failure(key=item.key, name=item.file, error=error))
        return {
            "key": item.key,
            "prompt": item.prompt,
            "group": item.group,
            "arrangement": _arrangement(item, counted),
            "references": [
                {"name": item.people[n].name, "identity": item.people[n].identity} for n in counted
            ],
            "pictures": [
                {
                    "name": f"{name}#{number}",
                    "error": error,
                    **_plain(compare(references, seen)),
                    "measures": {},
                }
                for number, seen in enumerate(cells)
            ],
        }

    def _see(self, file: Path, item: Item) -> list[Seen]:
        if item.people:
            with one_thread():
                return self._gallery.faces(file, self.benchmark.grid, self._look)
        return [self._nobody() for _ in read_cells(file.read_bytes(), self.benchmark.grid)]

    def _nobody(self) -> Seen:
        empty: dict[str, Values] = {
            name: np.zeros((0, self.likenesses.dimension(name)))
            for name in self.likenesses.embedders
        }
        return Seen(boxes=np.zeros((0, 4)), embeddings=empty)


def _plain(measured: Measured) -> dict[str, Any]:
    return {
        "boxes": measured.boxes.round(2).tolist(),
        "similarity": {
            name: cosines.round(DECIMALS).tolist() for name, cosines in measured.similarity.items()
        },
    }


def _arrangement(item: Item, counted: Sequence[int]) -> list[int] | None:
    """The places of those who count, closed up."""
    if item.arrangement is None:
        return None
    places = [item.arrangement[n] for n in counted]
    return [sorted(places).index(place) for place in places]


_gallery: list[Gallery] = []
"""Of a process that looks ahead."""


def _start(folder: Path, pack: str) -> None:
    from umo.faces.packs import load_pack

    _gallery.append(Gallery(folder, load_pack(pack)))


def _look(task: tuple[Path, int, Look]) -> None:
    with suppress(UmoError), one_thread():
        _gallery[0].faces(*task)

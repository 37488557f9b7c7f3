"""IP-Sim: how near the objects and animals of a picture are to their references.

As XVerse's scripts, with another detector (OWLv2, Minderer et al. 2023, instead of Florence-2 and
SAM2, whose code is not in transformers): the word of a reference is looked for in the picture; at
most three boxes of at least a twentieth of its width and height are cut out and padded to squares
with white; the reference's value is 100 times the greatest DINO cosine, 0 where nothing was found.
A picture's value is the mean over its references; people are not looked at.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageOps
from transformers import Owlv2ForObjectDetection, Owlv2Processor

from umo.benchmarks.measures.dino import Dino
from umo.benchmarks.measures.measure import Painted, load, load_processor, origin
from umo.config import digest
from umo.data.schema import Image
from umo.errors import NotFoundError, UsageError

MOST = 3
"""Boxes of a word that are compared."""
SMALLEST = 1 / 20
"""Least side of a box, as a part of the picture's."""
THRESHOLD = 0.1
"""Least score of a box, 0 to 1."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """An object or animal to paint."""

    word: str
    """What the prompt calls it."""
    file: Path
    """Its reference picture."""


class Finder:
    """Finds what a word names, by OWLv2.

    Args:
        source: A folder with the model and its processor, or `hub:NAME`.
    """

    def __init__(self, source: str) -> None:
        self._model = load(Owlv2ForObjectDetection, source)
        self._processor = load_processor(Owlv2Processor, source)
        self.made = f"OWLv2 {origin(source, self._model)}"

    @torch.no_grad()
    def find(self, picture: Image, word: str) -> list[Image]:
        """What is cut out for a word, best first."""
        inputs = self._processor(
            text=[[f"a photo of a {word}"]],
            images=[Pillow.fromarray(picture)],
            truncation=True,
            return_tensors="pt",
        )
        outputs = self._model(**inputs.to(self._model.device))
        (found,) = self._processor.post_process_grounded_object_detection(
            outputs, threshold=THRESHOLD, target_sizes=[picture.shape[:2]]
        )
        order = found["scores"].argsort(descending=True, stable=True)
        return cut_out(picture, found["boxes"][order].cpu().numpy())


class IpSim:
    """Measures likeness to objects and animals.

    Args:
        dino: Embeds.
        finder: Finds what a word names.
        subjects: What each item asks for, by its key.
    """

    name = "ip_sim"

    def __init__(
        self, dino: Dino, finder: Finder, subjects: Mapping[str, Sequence[Subject]]
    ) -> None:
        self._dino = dino
        self._finder = finder
        self._subjects = subjects
        asked = {key: [(s.word, s.file.name) for s in found] for key, found in subjects.items()}
        self.made = {"model": dino.made, "detector": finder.made, "subjects": digest(asked)}

    def of(self, painted: Painted) -> list[float | None]:
        """The mean over the references, x 100; None for a prompt without objects or animals.

        Raises:
            NotFoundError: A reference picture is missing.
        """
        subjects = self._subjects.get(painted.key, ())
        if not subjects:
            return [None] * len(painted.pictures)
        references = self._dino.embed([_open(subject.file) for subject in subjects])
        values: list[float | None] = []
        for picture in painted.pictures:
            best = []
            for reference, subject in zip(references, subjects, strict=True):
                crops = self._finder.find(picture, subject.word)
                cosines = self._dino.embed(crops) @ reference if crops else torch.zeros(1)
                best.append(float(cosines.max()))
            values.append(100 * sum(best) / len(best))
        return values


def cut_out(picture: Image, boxes: NDArray[np.floating]) -> list[Image]:
    """Squares of what the first few boxes `[n,4]` (xyxy pixels) that are large enough show."""
    height, width = picture.shape[:2]
    found = []
    for box in boxes.round().clip(0, (width, height) * 2).astype(int):
        left, top, right, bottom = box.tolist()
        if right - left >= width * SMALLEST and bottom - top >= height * SMALLEST:
            crop = Pillow.fromarray(picture[top:bottom, left:right])
            found.append(np.asarray(ImageOps.pad(crop, (max(crop.size),) * 2, color="white")))
    return found[:MOST]


def read_subjects(items: Path, references: Path) -> dict[str, list[Subject]]:
    """Objects and animals of each item of XVerseBench.

    Args:
        items: `XVerseBench_single.json` or `XVerseBench_multi.json`.
        references: Folder with `object/` and `animal/`.

    Raises:
        NotFoundError: There is no such file.
        UsageError: It is not of that form.
    """
    if not items.is_file():
        raise NotFoundError(f"no item file at {items}")
    subjects = {}
    try:
        for entry in json.loads(items.read_text(encoding="utf-8")):
            asked = entry["modulation"][0]
            subjects[str(entry["index"])] = [
                Subject(word=asked["use_words"][place][1], file=references / kind / name)
                for place, (kind, name) in enumerate(
                    Path(source["image_path"]).parts[-2:] for source in asked["src_inputs"]
                )
                if kind != "human"
            ]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise UsageError(f"{items} is no item file of XVerseBench: {error!r}") from error
    return subjects


def _open(file: Path) -> Image:
    if not file.is_file():
        raise NotFoundError(f"no reference picture at {file}", hint="it is from DreamBench++")
    with Pillow.open(file) as opened:
        return np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))

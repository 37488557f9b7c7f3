"""DPG: how many questions about the prompt a picture answers with yes (Hu et al. 2024, DPG-Bench).

A model that answers questions about pictures writes the answers; here they are counted, in the form
of XVerse's scripts. The questions of a prompt are those of its scene graph (DSG, Cho et al. 2023):

    questions: [{"prompt", "qid2question": {id: question}, "qid2dependency": {id: [parents]}}]
    answers:   {index: [{question: "yes" or "no"} for each picture]}

A question counts if it is answered with yes and no parent (0 is none) with no; the value is 100
times the share that counts. The scripts take every other answer for a no; here a picture with an
answer that is neither, or without one, is not measured.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from umo.benchmarks.measures.measure import Painted
from umo.errors import DiffersError, NotFoundError, UsageError
from umo.files import sha256


class Dpg:
    """Counts answers.

    Args:
        answers: `dpg_scores_*.json` of the public scripts.
        questions: `XVerseBench_multi_DSG.json`; an item's key is its place in it.

    Raises:
        NotFoundError: A file does not exist.
        UsageError: It is not of the form above.
    """

    name = "dpg"

    def __init__(self, answers: Path, questions: Path) -> None:
        self._answers = _read(answers, dict)
        self._questions = _read(questions, list)
        self.made = {"answers": sha256(answers), "questions": sha256(questions)}

    def of(self, painted: Painted) -> list[float | None]:
        """The share of questions that count, x 100.

        Raises:
            DiffersError: The questions are of another prompt.
        """
        pictures = self._answers.get(painted.key, [])
        if not painted.key.isdigit() or int(painted.key) >= len(self._questions):
            return [None] * len(painted.pictures)
        asked = self._questions[int(painted.key)]
        if asked["prompt"] != painted.prompt:
            raise DiffersError(
                f"item {painted.key} is {painted.prompt!r}, its questions are of "
                f"{asked['prompt']!r}"
            )
        return [
            counted(asked, pictures[number]) if number < len(pictures) else None
            for number in range(len(painted.pictures))
        ]


def counted(asked: Mapping[str, Any], answers: Mapping[str, str]) -> float | None:
    """The share of questions that count, x 100; None unless each is answered with yes or no."""
    said = {str(i): answers.get(question) for i, question in asked["qid2question"].items()}
    if not said or not all(answer in ("yes", "no") for answer in said.values()):
        return None
    parents = {str(i): [str(p) for p in found] for i, found in asked["qid2dependency"].items()}
    counts = [
        answer == "yes" and all(said.get(parent) != "no" for parent in parents.get(i, ()))
        for i, answer in said.items()
    ]
    return 100 * sum(counts) / len(counts)


def _read(path: Path, form: type) -> Any:
    if not path.is_file():
        raise NotFoundError(f"no file at {path}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, form):
        raise UsageError(f"{path} holds a {type(content).__name__}, not a {form.__name__}")
    return content

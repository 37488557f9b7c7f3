"""XVerseBench: 90 prompts with one reference, 210 with two or three (ByteDance, Apache-2.0).

An entry of its JSON names pictures as `assets/XVerseBench/<kind>/<file>`; those of the kind `human`
are people, the others (objects and animals, from DreamBench++) must be there to paint an item, and
play no part in identity. A model's pictures of an item are a grid of 2 x 2 in a flat folder, named
`<index>_<first 40 letters of the prompt, spaces as _>.png`. The public scripts find them by the
index alone, and so does this reader: prompts with a line end give odd names there, and a prompt
with a slash none at all.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from umo.benchmarks.item import Benchmark, Failure, Item, Reference, file_name, sound
from umo.errors import NotFoundError, UsageError
from umo.files import sha256

VERSIONS: Mapping[str, str] = MappingProxyType(
    {
        "82ff28ec57e025cb20a5b6e096b8287745e8d1141dd241a0448dd30a41fbb3ec": "xversebench-single",
        "92b5b981b4a82f9a8ec61860c1a4d7eee99b0b46b5b794af29a5afbee4920ead": "xversebench-multi",
    }
)
"""The published item files, by sha256."""
HUMAN = "human"
LETTERS = 40
"""Of the prompt, in a file name."""


def read_xversebench(items: Path, references: Path) -> Benchmark:
    """The benchmark of an item file.

    Args:
        items: `XVerseBench_single.json` or `XVerseBench_multi.json`.
        references: Folder with `human/`, `object/` and `animal/`.

    Returns:
        The items whose entries are sound; entries that are not, indices that are missing or there
        twice, and a file that is not a published one are failures.

    Raises:
        NotFoundError: There is no such file or folder.
        UsageError: The file is no list of items.
    """
    if not items.is_file():
        raise NotFoundError(f"no item file at {items}", hint="name XVerseBench_multi.json")
    if not references.is_dir():
        raise NotFoundError(
            f"no folder of references at {references}",
            hint="name the folder that has human/, object/ and animal/",
        )
    try:
        entries = json.loads(items.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{items} is not JSON: {error}") from error
    if not isinstance(entries, list) or not entries:
        raise UsageError(f"{items} holds no list of items", hint="name XVerseBench_multi.json")
    version = sha256(items)
    failures = []
    if version not in VERSIONS:
        unknown = f"its sha256 {version[:12]}... is of no published version"
        failures.append(Failure(key="", name=items.name, error=unknown))
    usable = tuple(sound(_entries(entries, references), failures, where=items.name))
    failures += _missing(entries, items.name)
    return Benchmark(
        name=VERSIONS.get(version, "xversebench-" + items.stem.rpartition("_")[2]),
        version=version,
        items=usable,
        grid=2,
        failures=tuple(failures),
    )


def _entries(entries: list[Any], references: Path) -> Iterator[tuple[str, Item | str]]:
    for place, entry in enumerate(entries):
        key = str(entry.get("index", f"#{place}")) if isinstance(entry, dict) else f"#{place}"
        try:
            yield key, _item(entry, references)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            yield key, f"the item cannot be read: {type(error).__name__}: {error}"


def _item(entry: Mapping[str, Any], references: Path) -> Item:
    index = int(entry["index"])
    prompt = str(entry["prompt"])
    named = [
        Path(source["image_path"]).parts[-2:] for source in entry["modulation"][0]["src_inputs"]
    ]
    pictures = tuple(
        Reference(
            name=f"{kind}/{file}",
            file=references / kind / file,
            identity=Path(file).stem if kind == HUMAN else "",
        )
        for kind, file in named
    )
    return Item(
        key=str(index),
        prompt=prompt,
        group=str(sum(bool(picture.identity) for picture in pictures)),
        references=pictures,
        file=f"{index}_{file_name(prompt[:LETTERS])}.png",
        pattern=f"{index}_*.png",
    )


def _missing(entries: list[Any], where: str) -> list[Failure]:
    there = {e["index"] for e in entries if isinstance(e, dict) and isinstance(e.get("index"), int)}
    gaps = sorted(set(range(max(there, default=-1) + 1)) - there)
    return [Failure(key=str(i), name=where, error="the item is missing") for i in gaps]

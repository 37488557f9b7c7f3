"""Benchmarks as folders: `items.json`, the pictures that it names, and a manifest that seals them.

Those that umo makes are kept so. An item of `items.json` is

    {"key", "prompt", "group", "file", "arrangement": [places] or null,
     "references": [{"name", "identity", "other": name or null}]}

with names below the folder, except the item's own `file`: where a model's pictures of it lie.
"""

import fcntl
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from umo import lineage
from umo.benchmarks.item import Benchmark, Failure, Item, Reference
from umo.errors import UsageError
from umo.files import atomic_folder, read_manifest, write_manifest, write_text

ITEMS = "items.json"
KIND = "benchmark"
REFERENCES = "references"


def ensure_benchmark(folder: Path, name: str, write: Callable[[Path], None]) -> Benchmark:
    """The benchmark `name` in `folder`, made if it is not there.

    Processes that share the folder make it once; the others wait.

    Args:
        folder: Replaced if it holds another benchmark.
        name: What it is made from, `umo.lineage.identity`.
        write: Fills a new folder, by `write_items` at last.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f".{folder.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not lineage.finished(folder, name):
            with atomic_folder(folder) as staged:
                write(staged)
                lineage.seal(staged, name)
    return read_benchmark(folder)


def write_items(folder: Path, items: Iterable[Item], facts: Mapping[str, Any]) -> None:
    """Write the `items.json` of a folder that has the pictures already, and its manifest.

    Args:
        folder: Under construction.
        items: Of the benchmark.
        facts: `benchmark`, its name; `grid`; perhaps `failures`, `faceless`, `largest`, `licence`,
            `source`.
    """
    plain = [_plain(item, folder) for item in items]
    write_text(folder / ITEMS, json.dumps(plain, indent=1, ensure_ascii=False) + "\n")
    write_manifest(folder, {"kind": KIND, **facts})


def read_benchmark(folder: Path) -> Benchmark:
    """The benchmark of a folder.

    Raises:
        NotFoundError: The folder has no manifest.
        DiffersError: A file is not the one that was sealed.
        UsageError: It is no benchmark.
    """
    manifest = read_manifest(folder, verify=True)
    if manifest.get("kind") != KIND:
        raise UsageError(
            f"{folder} holds a {manifest.get('kind')!r}, not a {KIND!r}",
            hint="name a folder that `umo evaluate` made",
        )
    entries = json.loads((folder / ITEMS).read_text(encoding="utf-8"))
    return Benchmark(
        name=manifest["benchmark"],
        version=manifest["digest"],
        items=tuple(_item(entry, folder) for entry in entries),
        grid=manifest["grid"],
        failures=tuple(Failure(**failure) for failure in manifest.get("failures", ())),
        faceless=manifest.get("faceless", False),
        largest=manifest.get("largest", False),
        facts={key: manifest[key] for key in ("licence", "source") if key in manifest},
    )


def _plain(item: Item, folder: Path) -> dict[str, Any]:
    return {
        "key": item.key,
        "prompt": item.prompt,
        "group": item.group,
        "file": item.file,
        "arrangement": item.arrangement,
        "references": [
            {
                "name": reference.name,
                "identity": reference.identity,
                "other": str(reference.other.relative_to(folder)) if reference.other else None,
            }
            for reference in item.references
        ],
    }


def _item(entry: Mapping[str, Any], folder: Path) -> Item:
    return Item(
        key=entry["key"],
        prompt=entry["prompt"],
        group=entry["group"],
        file=entry["file"],
        arrangement=entry["arrangement"] and tuple(entry["arrangement"]),
        references=tuple(
            Reference(
                name=reference["name"],
                file=folder / reference["name"],
                identity=reference["identity"],
                other=folder / reference["other"] if reference["other"] else None,
            )
            for reference in entry["references"]
        ),
    )

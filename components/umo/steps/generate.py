"""Step: have a base generate a dataset, shard by shard, and keep what both embedders recognise.

The same command may run in several processes at once: each takes shards that no other is at, and
the dataset they end with is that of one.
"""

import shutil
from collections import Counter
from pathlib import Path

from umo import config as settings
from umo import lineage
from umo.bases import load_base
from umo.bases.protocol import ReferenceModel
from umo.data.filters import recognised
from umo.data.generate import GenerateConfig, generate_samples
from umo.data.shards import FACE_PACK, Dataset, join_datasets, write_dataset
from umo.data.share import Share
from umo.errors import UmoError
from umo.faces.packs import FacePack, load_pack
from umo.files import exclusive, read_manifest, sha256
from umo.steps.journal import Outcome, Progress, ignore
from umo.training.rerefl import LORA

BUSY = UmoError("another process is at this shard")


def run(
    config: GenerateConfig,
    *,
    base: str,
    pack: str,
    folder: Path,
    tuned: Path | None = None,
    share: Share | None = None,
    progress: Progress = ignore,
) -> Outcome:
    """Generate the dataset of `config` into `folder`, unless it is there.

    Args:
        config: What to generate and when to accept it.
        base: `embedded` or a folder.
        pack: The face pack that filters.
        folder: Replaced, as a whole, when the dataset is new; finished shards wait beside it.
        tuned: Folder that `umo train` wrote; its LoRA paints.
        share: Do this share of the shards alone; a call without one joins them.
        progress: Called with `done` and `total` candidates.

    Raises:
        UsageError: No candidate was accepted.
    """
    model, faces = load_base(base), load_pack(pack)
    lora = sha256(tuned / LORA) if tuned else ""
    if tuned:
        read_manifest(tuned, verify=True)
        model.load_lora(tuned / LORA)
    name = lineage.identity(config, data={"pack": faces.digest, "lora": lora}, base=model.digest)
    return generate(config, model, faces, name, lora, folder, share, progress)


def generate(
    config: GenerateConfig,
    base: ReferenceModel,
    pack: FacePack,
    name: str,
    lora: str,
    folder: Path,
    share: Share | None = None,
    progress: Progress = ignore,
) -> Outcome:
    """What `run` does, with what it loaded.

    Args:
        config: What to generate.
        base: Paints.
        pack: Filters.
        name: Of the result, by `lineage.identity`.
        lora: sha256 of the LoRA's weights, if there is one.
        folder: Of the dataset.
        share: Of the shards; the outcome is then what waits to be joined.
        progress: Called with `done` and `total` candidates.
    """
    parts = folder.with_name(f"{folder.name}.parts")
    share = share or Share()
    numbers = share.of(len(config.shards))
    total = sum(len(config.shards[number]) for number in numbers)
    done: set[int] = set()
    for refusal in (BUSY, None):
        for number in (number for number in numbers if number not in done):
            if outcome := _finished(folder, name, parts):
                return outcome
            parts.mkdir(parents=True, exist_ok=True)
            try:
                with exclusive(parts / f"{number}.lock", refusal):
                    _part(config, base, pack, name, number, parts / f"{number}")
            except UmoError as error:
                if error is not BUSY:
                    raise
                continue
            done.add(number)
            made = sum(len(config.shards[number]) for number in done)
            progress({"done": made, "total": total})
    if share.count > 1:
        return Outcome(folder=parts, digest=name, reused=False)
    with exclusive(parts / "join.lock", None):
        if outcome := _finished(folder, name, parts):
            return outcome
        digest = _join(config, base, pack, name, lora, [parts / f"{n}" for n in numbers], folder)
        shutil.rmtree(parts)
    return Outcome(folder=folder, digest=digest, reused=False)


def _finished(folder: Path, name: str, parts: Path) -> Outcome | None:
    manifest = lineage.finished(folder, name)
    if manifest is None:
        return None
    shutil.rmtree(parts, ignore_errors=True)
    return Outcome(folder=folder, digest=manifest["digest"], reused=True)


def _part(
    config: GenerateConfig,
    base: ReferenceModel,
    pack: FacePack,
    name: str,
    number: int,
    folder: Path,
) -> None:
    mine = lineage.identity({"of": name, "shard": number})
    if lineage.finished(folder, mine):
        return
    rejected = Counter[str]()
    candidates = generate_samples(config, base, config.shards[number], name=name[:8])
    samples = recognised(
        candidates, pack, config.likeness, lambda key, reason: rejected.update([reason])
    )
    facts = {"rejected": rejected, **_pack(pack), **lineage.facts(mine)}
    write_dataset(samples, folder, facts, part=True)


def _join(
    config: GenerateConfig,
    base: ReferenceModel,
    pack: FacePack,
    name: str,
    lora: str,
    parts: list[Path],
    folder: Path,
) -> str:
    datasets = [Dataset(part) for part in parts]
    rejected = sum((Counter(part.manifest["rejected"]) for part in datasets), Counter[str]())
    accepted = sum(map(len, datasets))
    reasons = ", ".join(f"{count} {reason}" for reason, count in rejected.most_common())
    if not accepted:
        raise UmoError(
            f"none of {config.samples} candidates was accepted: {reasons}",
            hint="tune the base first, give more samples or a weaker likeness",
        )
    facts = {
        "config": settings.to_mapping(config),
        "base": {"name": base.name, "digest": base.digest},
        "lora": lora,
        "candidates": config.samples,
        "accepted_share": accepted / config.samples,
        "rejected": dict(sorted(rejected.items())),
        **_pack(pack),
        **lineage.facts(name),
    }
    return join_datasets(datasets, folder, facts)


def _pack(pack: FacePack) -> dict[str, dict[str, str]]:
    return {FACE_PACK: {"name": pack.name, "digest": pack.digest}}

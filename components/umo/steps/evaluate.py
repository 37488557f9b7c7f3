"""Step: compare a tuned LoRA with its base, and with the shipped reference LoRA if it fits."""

from collections.abc import Mapping
from importlib.resources import files as package_files
from pathlib import Path

from umo import lineage
from umo.bases import load_base
from umo.bases.weights import tuned_file
from umo.data.shards import Dataset
from umo.evaluation.evaluate import EvaluationConfig, evaluate
from umo.faces.packs import load_pack
from umo.files import MANIFEST, read_manifest, sha256
from umo.steps.journal import Outcome, Progress, ignore

REFERENCE = Path(str(package_files("umo") / "assets/reference"))
"""A LoRA tuned for longer than a first run takes."""


def run(
    config: EvaluationConfig,
    *,
    base: str,
    pack: str,
    data: Path | str,
    tuned: Path | Mapping[str, Path],
    folder: Path,
    progress: Progress = ignore,
) -> Outcome:
    """Judge base and tuned on the dataset in `data` into `folder`, unless that result is there.

    Args:
        config: How to compare.
        base: `embedded` or a folder.
        pack: Face pack, see `umo.faces.packs.load_pack`.
        data: A dataset, a folder or `s3://bucket/prefix`, of people that were not tuned on.
        tuned: Folder that the train step wrote, or several by label. A single one is also compared
            with the shipped reference LoRA if that was tuned on the same base.
        folder: Replaced by scores, pictures and report.
        progress: Called with `phase`, `done` and `total`.

    Raises:
        DiffersError: A LoRA is not the one its manifest names, or does not fit the base.
    """
    model, faces, dataset = load_base(base), load_pack(pack), Dataset(data)
    if isinstance(tuned, Path):
        tuned = {"tuned": tuned, **_reference(model.digest)}
    for lora in tuned.values():
        read_manifest(lora, verify=True)
    loras = {label: tuned_file(lora) for label, lora in tuned.items()}
    digests = {label: sha256(lora) for label, lora in loras.items()}
    name = lineage.identity(
        config,
        data={"held-out": dataset.digest, "pack": faces.digest, **digests},
        base=model.digest,
    )
    if manifest := lineage.finished(folder, name):
        return Outcome(folder=folder, digest=manifest["digest"], reused=True)
    evaluate(
        {"base": None, **loras},
        base=model,
        dataset=dataset,
        pack=faces,
        out=folder,
        config=config,
        progress=progress,
    )
    return Outcome(folder=folder, digest=lineage.seal(folder, name), reused=False)


def _reference(base_digest: str) -> dict[str, Path]:
    if not (REFERENCE / MANIFEST).is_file():
        return {}
    fits = read_manifest(REFERENCE)["base"]["digest"] == base_digest
    return {"reference": REFERENCE} if fits else {}

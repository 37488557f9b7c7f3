"""Verification: whether every byte is the one that was registered, judged, read and approved."""

from collections.abc import Collection
from pathlib import Path

from umo import signing
from umo.errors import UmoError
from umo.files import MANIFEST, read_manifest, sha256
from umo.ledger import Ledger
from umo.promotion.case import EVALUATION, REVIEW, Case
from umo.registry import ARTIFACTS, INTENT_TAG, Registry, Version, candidates, weights_digest


def verify(registry: Registry, ledger: Ledger, name: str, *, keys: str = "") -> list[str]:
    """Name everything of a model that was changed, removed or put in.

    Args:
        registry: Where its versions are.
        ledger: What they are compared with; every row of it is verified too.
        name: Model name.
        keys: Reference of the public keys that must have signed what was submitted.

    Returns:
        One line a fault; nothing if all is well.
    """
    faults = ledger.verify()
    for version in registry.versions(candidates(name)):
        case = Case.open(registry, ledger, name, version.version)
        faults += candidate_faults(registry, case, keys=keys)
    intents = {event.hash: event for event in ledger.events(name, kind="intended")}
    for version in registry.versions(name):
        intent = intents.get(version.intent)
        if intent is None:
            faults.append(
                f"{version.title}: no row of the ledger has the hash that its tag {INTENT_TAG} "
                f"names, {version.intent or '(none)'}: the ledger was rewritten, or umo did not "
                "make this version"
            )
        recorded = [intent.details["manifest"]] if intent else []
        faults += model_faults(registry, version, recorded=recorded, keys=keys)
        reviews = [i.details["review"] for i in intents.values() if i.weights == version.digest]
        if reviews:
            found = stored_faults(registry, version.run, REVIEW, recorded=reviews)
            faults += [f"{version.title}: {fault}" for fault in found]
    return faults


def candidate_faults(registry: Registry, case: Case, *, keys: str) -> list[str]:
    """Compare a candidate, its evaluation and its report with what the ledger says of them."""
    progress, run = case.progress, case.version.run
    signed = keys if progress.submitted else ""
    faults = model_faults(registry, case.version, recorded=[case.manifest], keys=signed)
    if progress.evaluated:
        recorded = [progress.evaluated.details["manifest"]]
        found = stored_faults(registry, case.evaluation_run, EVALUATION, recorded=recorded)
        faults += [f"{case.version.title}: {fault}" for fault in found]
    if progress.submitted:
        recorded = [progress.submitted.details["manifest"]]
        found = stored_faults(registry, run, REVIEW, recorded=recorded, keys=signed)
        faults += [f"{case.version.title}: {fault}" for fault in found]
    return faults


def model_faults(
    registry: Registry, version: Version, *, recorded: Collection[str] = (), keys: str = ""
) -> list[str]:
    """Compare the files of a version with its manifest, and that with what was recorded."""
    try:
        with registry.files(version.run) as folder:
            faults = folder_faults(folder, ARTIFACTS, recorded=recorded, keys=keys)
            if not faults and (found := weights_digest(read_manifest(folder))) != version.digest:
                faults.append(f"its weights have digest {found}, its tag says {version.digest}")
    except UmoError as error:
        faults = [error.message]
    return [f"{version.title}: {fault}" for fault in faults]


def stored_faults(
    registry: Registry, run: str, path: str, *, recorded: Collection[str] = (), keys: str = ""
) -> list[str]:
    """`folder_faults` of a folder of a run's artifacts."""
    try:
        with registry.files(run, path) as folder:
            return folder_faults(folder, path, recorded=recorded, keys=keys)
    except UmoError as error:
        return [error.message]


def folder_faults(
    folder: Path, where: str, *, recorded: Collection[str] = (), keys: str = ""
) -> list[str]:
    """Compare the files of a folder with its manifest, that with its recorded sha256.

    Args:
        folder: A copy of the folder.
        where: What to call it.
        recorded: sha256 that `manifest.json` may have; any if none was recorded.
        keys: Reference of the public keys; nothing if it need not be signed.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return [f"{where}/{MANIFEST} is missing"]
    try:
        listed: dict[str, str] = read_manifest(folder)["files"]
    except UmoError as error:
        return [f"{where}/{MANIFEST}: {error.message}"]
    faults = []
    if recorded and (measured := sha256(path)) not in recorded:
        faults.append(
            f"{where}/{MANIFEST} has sha256 {measured}, recorded is {' or '.join(recorded)}"
        )
    for name, digest in listed.items():
        file = folder / name
        measured = sha256(file) if file.is_file() else "missing"
        if measured != digest:
            faults.append(f"{where}/{name} has sha256 {measured}, its manifest says {digest}")
    known = {MANIFEST, signing.SIGNATURE, *listed}
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if file.is_file() and name not in known:
            faults.append(f"{where}/{name} is not in its manifest")
    if keys:
        try:
            signing.verify(folder, keys)
        except UmoError as error:
            faults.append(error.message)
    return faults

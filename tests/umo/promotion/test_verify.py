import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.candidates import PROMOTER, approved
from umo.files import MANIFEST, write_manifest
from umo.ledger import Ledger
from umo.promotion import promote, verify
from umo.registry import DIGEST_TAG, INTENT_TAG, Registry, candidates
from umo.signing import keygen, sign


@dataclass(frozen=True)
class Promoted:
    """A champion that nobody has touched."""

    name: str
    registry: Registry
    ledger: Ledger

    def folder(self, path: str, model: str = "candidate") -> Path:
        """Where artifacts of the candidate, or of the copy, are."""
        version = (
            self.registry.candidate(self.name, 1)
            if model == "candidate"
            else self.registry.versions(self.name)[0]
        )
        return Path(self.registry.address(version.run, path))

    def faults(self, keys: str = "") -> list[str]:
        return verify(self.registry, self.ledger, self.name, keys=keys)


@pytest.fixture
def promoted(
    registry: Registry, ledger: Ledger, request: pytest.FixtureRequest, tmp_path: Path
) -> Promoted:
    name = "".join(filter(str.isalnum, request.node.name)).lower()
    approved(registry, ledger, name, 1, tmp_path)
    promote(registry, ledger, name, 1, actor=PROMOTER)
    found = Promoted(name, registry, ledger)
    assert found.faults() == []
    return found


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("path", "model", "line"),
    [
        ("model/lora.safetensors", "candidate", "{}-candidates 1: model/lora.safetensors has sha"),
        ("model/lora.safetensors", "copy", "{} 1: model/lora.safetensors has sha256"),
        ("review/review.html", "copy", "{} 1: review/review.html has sha256"),
        ("model/manifest.json", "candidate", "{}-candidates 1: model/manifest.json"),
        ("evaluation/summary.json", "candidate", "{}-candidates 1: evaluation/summary.json has"),
        ("review/review.html", "candidate", "{}-candidates 1: review/review.html has sha256"),
        ("review/manifest.json", "candidate", "{}-candidates 1: review/manifest.json"),
    ],
)
def test_a_changed_byte_is_named(promoted: Promoted, path: str, model: str, line: str) -> None:
    flip(promoted.folder(path, model))
    (fault,) = promoted.faults()
    assert fault.startswith(line.format(promoted.name))


def drop(promoted: Promoted) -> None:
    promoted.folder("model/lora.safetensors").unlink()


def add(promoted: Promoted) -> None:
    promoted.folder("model").joinpath("extra.bin").write_text("x")


def forge(promoted: Promoted) -> None:
    folder = promoted.folder("model")
    flip(folder / "lora.safetensors")
    write_manifest(folder, {"kind": "lora"})


def relabel(promoted: Promoted) -> None:
    manifest = promoted.folder("model") / MANIFEST
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "kind": "other"}))


def retag(promoted: Promoted) -> None:
    client, name = promoted.registry.client, promoted.name
    client.set_model_version_tag(candidates(name), "1", DIGEST_TAG, "0" * 64)


def disown(promoted: Promoted) -> None:
    client, name = promoted.registry.client, promoted.name
    client.set_model_version_tag(name, "1", INTENT_TAG, "0" * 64)


@pytest.mark.parametrize(
    ("tamper", "line"),
    [
        (drop, "{}-candidates 1: model/lora.safetensors has sha256 missing, its manifest says"),
        (add, "{}-candidates 1: model/extra.bin is not in its manifest"),
        (forge, "{}-candidates 1: model/manifest.json has sha256"),
        (relabel, "{}-candidates 1: model/manifest.json has sha256"),
        (retag, "{}-candidates 1: its weights have digest"),
        (disown, "{} 1: no row of the ledger has the hash that its tag ledger names, 0000"),
    ],
)
def test_tampering_is_named(
    promoted: Promoted, tamper: Callable[[Promoted], None], line: str
) -> None:
    tamper(promoted)
    assert promoted.faults()[0].startswith(line.format(promoted.name))


def test_missing_signatures_are_named(promoted: Promoted, tmp_path: Path) -> None:
    keygen(tmp_path / "key")
    keys = f"file:{tmp_path / 'key'}"
    unsigned = "is not signed: it has no manifest.sig.json"
    assert [fault.endswith(unsigned) for fault in promoted.faults(f"{keys}.pub")] == [True] * 3
    for path in ("model", "review"):
        sign(promoted.folder(path), keys)
    (fault,) = promoted.faults(f"{keys}.pub")
    assert fault == f"{promoted.name} 1: model/ {unsigned}"
    sign(promoted.folder("model", "copy"), keys)
    assert promoted.faults(f"{keys}.pub") == []

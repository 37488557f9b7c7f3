import json
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from umo.errors import DeniedError, DiffersError, NotFoundError, UsageError
from umo.files import MANIFEST, write_manifest
from umo.signing import SIGNATURE, keygen, sign, verify


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights").write_text("1")
    write_manifest(folder, {"base": "b", "data": "d"})
    return folder


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "keys" / "anna"
    keygen(path)
    return path


def test_a_signed_folder_verifies(folder: Path, key: Path) -> None:
    signer = sign(folder, f"file:{key}")
    assert verify(folder, f"file:{key}.pub") == signer
    first = (folder / SIGNATURE).read_bytes()
    sign(folder, f"file:{key}")
    assert (folder / SIGNATURE).read_bytes() == first
    assert "PRIVATE" not in (folder / SIGNATURE).read_text()


def test_keys_from_the_environment(
    folder: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", key.read_text())
    monkeypatch.setenv("PUBLIC", key.with_name("anna.pub").read_text())
    assert sign(folder, "env:SECRET") == verify(folder, "env:PUBLIC")


def test_one_of_several_public_keys_is_enough(folder: Path, key: Path, tmp_path: Path) -> None:
    keygen(tmp_path / "ben")
    both = tmp_path / "both.pub"
    both.write_text((tmp_path / "ben.pub").read_text() + key.with_name("anna.pub").read_text())
    assert sign(folder, f"file:{key}") == verify(folder, f"file:{both}")
    with pytest.raises(DeniedError, match=r"model/ was signed by key \w{16}, trusted is \w{16};"):
        verify(folder, f"file:{tmp_path / 'ben.pub'}")


def test_the_private_key_is_for_its_owner_alone(key: Path) -> None:
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    with pytest.raises(UsageError, match="is there already"):
        keygen(key)


@pytest.mark.parametrize("name", ["base", "digest"])
def test_a_changed_manifest_is_named(folder: Path, key: Path, name: str) -> None:
    sign(folder, f"file:{key}")
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest[name] = "other"
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(DiffersError, match=r"manifest\.json"):
        verify(folder, f"file:{key}.pub")


def test_a_signature_of_other_files_is_refused(folder: Path, key: Path) -> None:
    sign(folder, f"file:{key}")
    (folder / "weights").write_text("2")
    with pytest.raises(DiffersError, match="weights has sha256"):
        sign(folder, f"file:{key}")
    (folder / SIGNATURE).rename(folder.parent / SIGNATURE)
    write_manifest(folder, {"base": "b", "data": "d"})
    with pytest.raises(DeniedError, match=r"model/ is not signed: it has no manifest\.sig\.json"):
        verify(folder, f"file:{key}.pub")
    (folder.parent / SIGNATURE).rename(folder / SIGNATURE)
    with pytest.raises(DiffersError, match=r"model/manifest\.json is not the one that key"):
        verify(folder, f"file:{key}.pub")


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"key": 1, "signature": "?"}', "\x00"])
def test_a_broken_signature_is_named(folder: Path, key: Path, content: str) -> None:
    (folder / SIGNATURE).write_text(content)
    with pytest.raises(DiffersError, match=r"model/manifest\.sig\.json is no signature"):
        verify(folder, f"file:{key}.pub")


def test_wrong_keys_are_one_line_without_the_key(
    folder: Path, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rsa = tmp_path / "rsa"
    rsa.write_bytes(
        generate_private_key(65537, 2048).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
    )
    monkeypatch.delenv("NOTHING", raising=False)
    for reference, kind, line in (
        ("file:" + str(tmp_path / "none"), NotFoundError, "No such file"),
        ("env:NOTHING", NotFoundError, "set NOTHING"),
        (key.read_text(), UsageError, "named by reference"),
        (f"file:{rsa}", UsageError, "no ed25519 private key"),
        (f"file:{key}.pub", UsageError, "no ed25519 private key"),
    ):
        with pytest.raises(kind, match=line) as caught:
            sign(folder, reference)
        assert key.read_text().splitlines()[1] not in str(caught.value)
    sign(folder, f"file:{key}")
    for reference, line in ((f"file:{key}", "something else"), (f"file:{folder / MANIFEST}", "no")):
        with pytest.raises(UsageError, match=line):
            verify(folder, reference)

"""Signed lineage: an ed25519 signature over a folder's manifest, in `manifest.sig.json` beside it.

What is signed is the canonical manifest, JSON with sorted keys and no spaces: the sha256 of every
file, and with it base, data, code and settings. A key is named by reference, `file:PATH` or
`env:NAME`, and read as PEM; it never stands in a setting, a log or an artifact.
"""

import base64
import binascii
import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from umo.errors import DeniedError, DiffersError, NotFoundError, UsageError
from umo.files import read_manifest, write_text

SIGNATURE = "manifest.sig.json"
ALGORITHM = "ed25519"
SIGNING_KEY = "UMO_SIGNING_KEY"
"""Variable that names the private key."""
VERIFY_KEY = "UMO_VERIFY_KEY"
"""Variable that names the public keys whose signatures count."""
BLOCK = re.compile(rb"-----BEGIN [A-Z ]+-----.+?-----END [A-Z ]+-----", re.DOTALL)


def keygen(path: Path) -> str:
    """Make a key pair: the private key in `path`, readable by its owner alone, and `path`.pub.

    Returns:
        The public key's fingerprint.

    Raises:
        UsageError: There is a file already.
    """
    public_path = path.with_name(f"{path.name}.pub")
    for taken in (path, public_path):
        if taken.exists():
            raise UsageError(f"{taken} is there already", hint="name another file")
    path.parent.mkdir(parents=True, exist_ok=True)
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(private)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    write_text(public_path, public.decode())
    return fingerprint(key.public_key())


def fingerprint(key: Ed25519PublicKey) -> str:
    """First 16 hex digits of the sha256 of a public key's raw bytes."""
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:16]


def sign(folder: Path, key: str) -> str:
    """Sign the manifest of `folder`, after verifying its files.

    Args:
        folder: A folder closed by a manifest.
        key: Reference of the private key.

    Returns:
        Fingerprint of the key.

    Raises:
        DiffersError: A file is not the one that the manifest names.
        NotFoundError: There is no manifest, or no key.
        UsageError: What the reference names is no ed25519 private key.
    """
    content = _canonical(read_manifest(folder, verify=True))
    private = _private(key)
    signature = {
        "algorithm": ALGORITHM,
        "key": fingerprint(private.public_key()),
        "manifest": hashlib.sha256(content).hexdigest(),
        "signature": base64.b64encode(private.sign(content)).decode(),
    }
    write_text(folder / SIGNATURE, json.dumps(signature, indent=1) + "\n")
    return str(signature["key"])


def verify(folder: Path, keys: str) -> str:
    """Check that one of the public keys signed the manifest of `folder` as it is now.

    The files are not hashed again; `read_manifest` does that.

    Args:
        folder: A folder closed by a manifest.
        keys: Reference of the public keys, one or several PEM blocks.

    Returns:
        Fingerprint of the key that signed.

    Raises:
        DeniedError: It is not signed, or by a key that does not count.
        DiffersError: The manifest is not the one that was signed.
        NotFoundError: There is no manifest, or no key.
        UsageError: What the reference names is no ed25519 public key.
    """
    trusted = {fingerprint(key): key for key in _public(keys)}
    path = folder / SIGNATURE
    if not path.is_file():
        raise DeniedError(
            f"{folder.name}/ is not signed: it has no {SIGNATURE}",
            hint=f"submit it again with {SIGNING_KEY} set",
        )
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        signer, signature = str(said["key"]), base64.b64decode(said["signature"], validate=True)
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise DiffersError(f"{folder.name}/{SIGNATURE} is no signature: {error!r}") from error
    if signer not in trusted:
        raise DeniedError(
            f"{folder.name}/ was signed by key {signer}, trusted is {', '.join(trusted)}",
            hint=f"if you trust that key, add it to {VERIFY_KEY}",
        )
    try:
        trusted[signer].verify(signature, _canonical(read_manifest(folder)))
    except InvalidSignature:
        raise DiffersError(
            f"{folder.name}/manifest.json is not the one that key {signer} signed",
            hint="do not use it; find out who changed it",
        ) from None
    return signer


def _canonical(manifest: dict[str, Any]) -> bytes:
    return json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()


def _private(reference: str) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(_read(reference), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(
            f"{reference} is no {ALGORITHM} private key without a passphrase, as PEM",
            hint="make one with `umo models keygen`",
        )
    return key


def _public(reference: str) -> list[Ed25519PublicKey]:
    keys: list[Ed25519PublicKey] = []
    for block in BLOCK.findall(_read(reference)):
        try:
            key = load_pem_public_key(block)
        except (ValueError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, Ed25519PublicKey):
            raise UsageError(f"{reference} holds something else than {ALGORITHM} public keys")
        keys.append(key)
    if not keys:
        raise UsageError(f"{reference} holds no public key as PEM")
    return keys


def _read(reference: str) -> bytes:
    kind, _, name = reference.partition(":")
    if kind == "env" and name:
        if name not in os.environ:
            raise NotFoundError(f"the key {reference} is not set", hint=f"set {name}")
        return os.environ[name].encode()
    if kind == "file" and name:
        try:
            return Path(name).expanduser().read_bytes()
        except OSError as error:
            raise NotFoundError(f"cannot read the key {reference}: {error.strerror}") from error
    raise UsageError(
        "a key is named by reference, not given itself", hint="write file:PATH or env:NAME"
    )

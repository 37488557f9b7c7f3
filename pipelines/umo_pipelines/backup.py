"""Copies of the databases in S3: each a folder of dumps below `backups/`, closed by a manifest.

`python -m umo_pipelines.backup store --folder F --bucket B --days N` puts the dumps of a folder
there and removes copies that are older; `fetch --folder F --bucket B [--name COPY]` gets the
newest, or the one that is named, and verifies it. pg_dump and pg_restore do the rest; see
docs/operations.md.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from umo.errors import NotFoundError, UmoError, UsageError
from umo.files import MANIFEST, read_manifest, write_manifest

PREFIX = "backups/"
NAME = "%Y-%m-%dT%H-%M-%SZ"


def store(folder: Path, client: Any, bucket: str, *, now: datetime, days: int) -> str:
    """Put the dumps of a folder into the bucket, the manifest last, then remove old copies.

    Args:
        folder: Holds `*.dump`; gets a manifest.
        client: Of boto3.
        bucket: Its name.
        now: Names the copy.
        days: Copies older than that are removed, but never the one that was stored now.

    Returns:
        Name of the copy.

    Raises:
        UsageError: There is no dump, or an empty one.
    """
    dumps = sorted(folder.glob("*.dump"))
    empty = [dump.name for dump in dumps if not dump.stat().st_size]
    if not dumps or empty:
        raise UsageError(f"{', '.join(empty) or 'no dump'} in {folder}", hint="did pg_dump run?")
    name = now.astimezone(UTC).strftime(NAME)
    write_manifest(folder, {"kind": "backup", "name": name})
    for file in (*dumps, folder / MANIFEST):
        client.upload_file(str(file), bucket, f"{PREFIX}{name}/{file.name}")
    oldest = (now.astimezone(UTC) - timedelta(days=days)).strftime(NAME)
    for copy, keys in copies(client, bucket).items():
        if copy < oldest:
            for key in keys:
                client.delete_object(Bucket=bucket, Key=key)
    return name


def fetch(folder: Path, client: Any, bucket: str, name: str = "") -> str:
    """Get a copy and verify every byte.

    Args:
        folder: Where its files go.
        client: Of boto3.
        bucket: Its name.
        name: Of the copy; the newest that is whole by default.

    Returns:
        Its name.

    Raises:
        DiffersError: A file is not the one that was stored.
        NotFoundError: There is no such copy.
    """
    whole = {
        copy: keys
        for copy, keys in copies(client, bucket).items()
        if f"{PREFIX}{copy}/{MANIFEST}" in keys
    }
    name = name or max(whole, default="")
    if name not in whole:
        known = ", ".join(sorted(whole)[-5:]) or "none"
        raise NotFoundError(f"no copy {name or 'at all'} in {bucket}", hint=f"there is {known}")
    folder.mkdir(parents=True, exist_ok=True)
    for key in whole[name]:
        client.download_file(bucket, key, str(folder / key.rpartition("/")[2]))
    read_manifest(folder, verify=True)
    return name


def copies(client: Any, bucket: str) -> dict[str, list[str]]:
    """Keys of each copy, by its name."""
    found: dict[str, list[str]] = {}
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=PREFIX):
        for entry in page.get("Contents", []):
            found.setdefault(entry["Key"].split("/")[1], []).append(entry["Key"])
    return found


def main(arguments: Sequence[str]) -> int:
    """Store or fetch; returns the exit code."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    parser = argparse.ArgumentParser(prog="umo_pipelines.backup")
    parser.add_argument("action", choices=["store", "fetch"])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--bucket", required=True)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--name", default="")
    given = parser.parse_args(arguments)
    client = boto3.client("s3")
    try:
        if given.action == "store":
            now = datetime.now(UTC)
            name = store(given.folder, client, given.bucket, now=now, days=given.days)
        else:
            name = fetch(given.folder, client, given.bucket, given.name)
    except (BotoCoreError, ClientError) as error:
        print(f"error: the S3 fails: {error}", file=sys.stderr)
        return 1
    except UmoError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)
    print(f"{given.action}: {name}")
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Where checkpoints lie: a folder, or S3. One appears whole or not at all.

A checkpoint is a folder named `step-00000020` that is complete once it has a manifest. On a disk it
is written under another name, synced and renamed; on S3, which cannot rename, its manifest is
written last and removed first.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import boto3
from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from umo.data.location import ENDPOINT, S3
from umo.errors import DeniedError, ExitCode, UmoError, UsageError
from umo.files import MANIFEST, sync, write_errors

REFUSED = ("AccessDenied", "InvalidAccessKeyId", "NoSuchBucket", "SignatureDoesNotMatch", "403")
"""Answers of S3 that will not change by asking again."""


class Place(Protocol):
    """A place for checkpoints, by their names."""

    def names(self) -> list[str]:
        """The complete ones, oldest first."""

    def prepare(self, name: str) -> None:
        """Make room for `name`; one process calls this before all others go on."""

    def stage(self, name: str) -> Path:
        """The folder that this process writes its files of `name` to."""

    def send(self, name: str) -> None:
        """Bring the files that this process staged to the place."""

    def seal(self, name: str, manifest: str) -> None:
        """Complete `name`; one process calls this after all have sent their files."""

    def opened(self, name: str) -> AbstractContextManager[Path]:
        """A local folder with the files of `name`, there until the block ends."""

    def remove(self, name: str) -> None:
        """Remove `name`; from the first moment on it is not complete."""

    def clear(self) -> None:
        """Remove every checkpoint."""


def place_of(name: str) -> Place:
    """The place of a name: `s3://bucket/prefix`, or the path of a folder.

    Raises:
        UsageError: The name is neither.
    """
    if name.startswith(S3):
        return Bucket(name)
    if "://" in name:
        raise UsageError(f"no checkpoints at {name!r}", hint="give a folder, or s3://bucket/prefix")
    return Folder(Path(name))


class Folder:
    """A folder that all processes see."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __str__(self) -> str:
        return str(self.root)

    def names(self) -> list[str]:
        """The complete ones, oldest first."""
        return sorted(path.parent.name for path in self.root.glob(f"step-*/{MANIFEST}"))

    def prepare(self, name: str) -> None:
        """Make an empty folder for `name`, and remove what killed processes left."""
        with write_errors(self.root):
            for left in self.root.glob(".step-*"):
                shutil.rmtree(left)
            self.stage(name).mkdir(parents=True)

    def stage(self, name: str) -> Path:
        """The folder that `name` is written to before it has that name."""
        return self.root / f".{name}"

    def send(self, name: str) -> None:
        """Have the disk hold the staged files."""
        with write_errors(self.root):
            for file in self.stage(name).iterdir():
                sync(file)

    def seal(self, name: str, manifest: str) -> None:
        """Add the manifest and give the folder its name."""
        staged, final = self.stage(name), self.root / name
        with write_errors(final):
            (staged / MANIFEST).write_text(manifest)
            sync(staged / MANIFEST)
            if final.exists():
                self.remove(name)
            staged.rename(final)
            sync(self.root)

    @contextmanager
    def opened(self, name: str) -> Iterator[Path]:
        """The folder itself."""
        yield self.root / name

    def remove(self, name: str) -> None:
        """Rename the folder, then remove it."""
        gone = self.root / f".{name}.gone"
        with write_errors(gone):
            shutil.rmtree(gone, ignore_errors=True)
            (self.root / name).rename(gone)
            shutil.rmtree(gone)

    def clear(self) -> None:
        """Remove every checkpoint, what killed processes left, and the folder if that was all."""
        for name in self.names():
            self.remove(name)
        for left in (*self.root.glob(".step-*"), *self.root.glob("step-*")):
            shutil.rmtree(left)
        with suppress(OSError):
            self.root.rmdir()


class Bucket:
    """S3, by the credentials and the endpoint of the environment.

    Args:
        url: `s3://bucket/prefix`.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        parts = urlsplit(self.url)
        self._bucket, self._prefix = parts.netloc, parts.path.strip("/")
        self._client = boto3.client("s3", endpoint_url=os.environ.get(ENDPOINT))
        self._staged: dict[str, Path] = {}

    def __str__(self) -> str:
        return self.url

    def names(self) -> list[str]:
        """The complete ones, oldest first."""
        names = [key.split("/") for key in self._keys("") if key.endswith(f"/{MANIFEST}")]
        return sorted(path[-2] for path in names)

    def prepare(self, name: str) -> None:
        """Remove what killed processes left of `name`."""
        if self._keys(name):
            self.remove(name)

    def stage(self, name: str) -> Path:
        """A local folder of this process."""
        if name not in self._staged:
            self._staged[name] = Path(tempfile.mkdtemp(prefix=f"{name}."))
        return self._staged[name]

    def send(self, name: str) -> None:
        """Upload the staged files and remove them here."""
        staged = self._staged.pop(name)
        with self._errors(name):
            for file in staged.iterdir():
                self._client.upload_file(str(file), self._bucket, self._key(name, file.name))
        shutil.rmtree(staged)

    def seal(self, name: str, manifest: str) -> None:
        """Upload the manifest."""
        with self._errors(name):
            self._client.put_object(
                Bucket=self._bucket, Key=self._key(name, MANIFEST), Body=manifest.encode()
            )

    @contextmanager
    def opened(self, name: str) -> Iterator[Path]:
        """A temporary folder with the files."""
        with tempfile.TemporaryDirectory(prefix=f"{name}.") as folder:
            for key in self._keys(name):
                with self._errors(name):
                    target = Path(folder) / key.rpartition("/")[2]
                    self._client.download_file(self._bucket, key, str(target))
            yield Path(folder)

    def remove(self, name: str) -> None:
        """Remove the manifest, then the rest."""
        keys = sorted(self._keys(name), key=lambda key: not key.endswith(f"/{MANIFEST}"))
        with self._errors(name):
            for key in keys:
                self._client.delete_object(Bucket=self._bucket, Key=key)

    def clear(self) -> None:
        """Remove every checkpoint."""
        for name in sorted({key.split("/")[-2] for key in self._keys("step-")}):
            self.remove(name)

    def _key(self, *parts: str) -> str:
        return "/".join(part for part in (self._prefix, *parts) if part)

    def _keys(self, name: str) -> list[str]:
        with self._errors(name):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._key(name) if name else self._prefix
            )
            return [found["Key"] for page in pages for found in page.get("Contents", [])]

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        try:
            yield
        except (BotoCoreError, ClientError, Boto3Error) as error:
            where = f"{self.url}/{name}" if name else self.url
            reason = " ".join(str(error).split())
            if isinstance(error, ClientError) and error.response["Error"]["Code"] in REFUSED:
                raise DeniedError(
                    f"{where}: {reason}", hint="check bucket and credentials"
                ) from error
            raise UmoError(
                f"{where} cannot be reached: {reason}",
                hint="run the same command again once S3 answers",
                exit_code=ExitCode.INTERRUPTED,
                retryable=True,
            ) from error

"""Where datasets lie: a folder, or `s3://bucket/prefix`, by pyarrow's filesystems.

On S3, which cannot rename, a dataset appears whole because its manifest is written last and removed
first.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pyarrow import fs

from umo.errors import ExitCode, NotFoundError, UmoError, UsageError
from umo.files import MANIFEST, atomic_folder, parse_manifest

S3 = "s3://"
ENDPOINT = "MLFLOW_S3_ENDPOINT_URL"
"""Where S3 is, if not at Amazon: the variable that MLflow's clients have."""
CHUNK = 2**22


@dataclass(frozen=True, kw_only=True)
class Location:
    """A folder on some filesystem."""

    name: str
    """As people wrote it."""
    system: fs.FileSystem
    """Where it is."""
    path: str
    """What the filesystem calls it."""

    def manifest(self) -> dict[str, Any]:
        """Its manifest.

        Raises:
            NotFoundError: There is none.
            DiffersError: It is not one that umo wrote.
            UmoError: It cannot be reached.
        """
        with reaching(self.name):
            try:
                with self.open(MANIFEST) as stream:
                    text = stream.read().decode()
            except (FileNotFoundError, NotADirectoryError):
                raise NotFoundError(
                    f"{self.name} has no {MANIFEST}", hint="name a folder that umo wrote"
                ) from None
        return parse_manifest(text, f"{self.name}/{MANIFEST}")

    def open(self, name: str) -> Any:
        """A file of it for reading at random.

        Raises:
            OSError: It is not there or cannot be reached.
        """
        return self.system.open_input_file(f"{self.path}/{name}")

    def send(self, folder: Path) -> None:
        """Replace what is there by the files of `folder`, the manifest last.

        Raises:
            UmoError: It cannot be reached.
        """
        with reaching(self.name):
            present = self.system.get_file_info(fs.FileSelector(self.path, allow_not_found=True))
            names = sorted((info.base_name for info in present), key=lambda name: name != MANIFEST)
            for name in names:
                self.system.delete_file(f"{self.path}/{name}")
            for file in sorted(folder.iterdir(), key=lambda file: file.name == MANIFEST):
                with file.open("rb") as source, self._writing(file.name) as target:
                    while chunk := source.read(CHUNK):
                        target.write(chunk)

    def _writing(self, name: str) -> Any:
        return self.system.open_output_stream(f"{self.path}/{name}")


def locate(where: Path | str) -> Location:
    """The location of a path or of `s3://bucket/prefix`.

    S3 is that of the environment: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
    `AWS_DEFAULT_REGION`, and `MLFLOW_S3_ENDPOINT_URL` where it is not Amazon's.

    Raises:
        UsageError: The name is neither.
    """
    name = str(where)
    if name.startswith(S3):
        endpoint = urlsplit(os.environ.get(ENDPOINT, ""))
        options = (
            {"endpoint_override": endpoint.netloc, "scheme": endpoint.scheme}
            if endpoint.netloc
            else {}
        )
        system = fs.S3FileSystem(
            region=os.environ.get("AWS_DEFAULT_REGION", "us-east-1"),
            allow_bucket_creation=False,
            **options,
        )
        return Location(name=name, system=system, path=name.removeprefix(S3).rstrip("/"))
    if "://" in name:
        raise UsageError(f"no dataset at {name!r}", hint="give a folder, or s3://bucket/prefix")
    return Location(name=name, system=fs.LocalFileSystem(), path=name)


@contextmanager
def staged(where: Path | str) -> Iterator[Path]:
    """Yield a temporary folder; on success it replaces what is at `where`.

    Raises:
        UmoError: It could not be written or sent.
    """
    location = locate(where)
    if isinstance(location.system, fs.LocalFileSystem):
        with atomic_folder(Path(where)) as folder:
            yield folder
        return
    with tempfile.TemporaryDirectory(prefix="umo-data.") as folder:
        yield Path(folder)
        location.send(Path(folder))


@contextmanager
def reaching(name: str) -> Iterator[None]:
    """Say in one line that a location cannot be reached.

    Raises:
        UmoError: The body raised an OSError.
    """
    try:
        yield
    except OSError as error:
        raise UmoError(
            f"{name} cannot be reached: {' '.join(str(error).split())}",
            hint="check the address and the credentials, then run the same command again",
            exit_code=ExitCode.INTERRUPTED if name.startswith(S3) else ExitCode.FAILED,
            retryable=name.startswith(S3),
        ) from error

"""The Hugging Face hub, asked for nothing but what a person names as `hub:NAME`.

It is reached as by its own clients: `HF_ENDPOINT` is another server, `HF_TOKEN` opens what is
gated, `HF_HOME` is where downloads are kept, and with `HF_HUB_OFFLINE=1` only those count.
"""

from pathlib import Path

from umo.errors import NotFoundError

HUB = "hub:"
"""Before the name of something on the hub, which is then downloaded."""


def dataset_folder(source: str, patterns: tuple[str, ...]) -> Path:
    """The folder of a dataset: the one that is named, or the download of one on the hub.

    Args:
        source: A folder, `hub:NAME`, or `hub:NAME@REVISION`.
        patterns: Of the files to download, for example `*.parquet`.

    Raises:
        NotFoundError: There is no such folder, or the hub does not give it.
    """
    if not source.startswith(HUB):
        folder = Path(source).expanduser()
        if not folder.is_dir():
            raise NotFoundError(f"no dataset folder {folder}", hint=f"or give {HUB}NAME")
        return folder
    import httpx2
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    name, _, revision = source.removeprefix(HUB).partition("@")
    try:
        return Path(
            snapshot_download(
                name,
                repo_type="dataset",
                revision=revision or None,
                allow_patterns=list(patterns),
            )
        )
    except (OSError, ValueError, httpx2.HTTPError) as error:
        raise NotFoundError(
            f"{source} cannot be downloaded: {' '.join(str(error).split())}",
            hint="check name, network and HF_TOKEN, or name a folder that has it",
        ) from error

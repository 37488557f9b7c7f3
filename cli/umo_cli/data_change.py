"""`umo data`: datasets made from datasets, and the deletion of people."""

from pathlib import Path
from typing import Annotated

import typer

from umo.errors import UsageError
from umo_cli.options import OutputOption
from umo_cli.output import print_json, print_result, print_table, work_on_stderr

PlaceOption = Annotated[str, typer.Option(help="Folder or s3://BUCKET/PREFIX of the dataset.")]
SeedOption = Annotated[int, typer.Option(help="Of the choice.")]
MixedOption = Annotated[
    bool, typer.Option("--mixed-licences", help="Their pictures may have different licences.")
]
SourceArgument = Annotated[
    str, typer.Argument(metavar="FOLDER", help="A dataset.", show_default=False)
]
SourcesArgument = Annotated[
    list[str], typer.Argument(metavar="SOURCE...", help="Datasets, in order.", show_default=False)
]


def merge(
    sources: SourcesArgument,
    out: PlaceOption,
    mixed_licences: MixedOption = False,
    output: OutputOption = "table",
) -> None:
    """Write the samples of several datasets as one, anew; of one, in the newest format."""
    with work_on_stderr():
        from umo.data.collect import merge as join
        from umo.data.shards import Dataset

        digest = join(sources, out, mixed_licences=mixed_licences)
        samples = len(Dataset(out))
    print_result({"folder": out, "digest": digest, "samples": samples}, output)


def append(
    folder: SourceArgument,
    sources: SourcesArgument,
    mixed_licences: MixedOption = False,
    output: OutputOption = "table",
) -> None:
    """Add the samples of datasets to a dataset; it is replaced as a whole."""
    merge([folder, *sources], folder, mixed_licences, output)


def split(
    folder: SourceArgument,
    out: Annotated[Path, typer.Option(help="Gets a dataset for each split.")],
    share: Annotated[
        list[str],
        typer.Option(
            metavar="SPLIT=SHARE",
            help="Share of the samples that a split gets; once for each.",
            show_default=False,
        ),
    ],
    seed: SeedOption = 0,
    cut: Annotated[
        bool,
        typer.Option("--cut", help="Deal people one by one; leave out samples between splits."),
    ] = False,
    output: OutputOption = "table",
) -> None:
    """Deal the samples of a dataset to splits that share no identity."""
    with work_on_stderr():
        from umo.data.collect import split as deal
        from umo.data.shards import Dataset

        shares = dict(_share(text) for text in share)
        deal(folder, out, shares, seed=seed, cut=cut)
        parts = [Dataset(out / name) for name in shares]
    counts = {name: len(part) for name, part in zip(shares, parts, strict=True)}
    left_out = parts[0].manifest["left_out"]
    print_result({"folder": str(out), **counts, "left out": left_out}, output)


def balance(
    folder: SourceArgument,
    out: PlaceOption,
    people: Annotated[
        list[str],
        typer.Option(
            metavar="NUMBER=SHARE",
            help="Share of the samples with so many people; once for each.",
            show_default=False,
        ),
    ],
    seed: SeedOption = 0,
    output: OutputOption = "table",
) -> None:
    """Keep as many samples of a dataset as have given shares by number of people."""
    with work_on_stderr():
        from umo.data.collect import balance as choose
        from umo.data.shards import Dataset

        shares = {}
        for name, share in map(_share, people):
            if not name.isdecimal():
                raise UsageError(f"--people {name} is not a number", hint="for example 2=0.5")
            shares[int(name)] = share
        digest = choose(folder, out, shares, seed=seed)
        samples = len(Dataset(out))
    print_result({"folder": out, "digest": digest, "samples": samples}, output)


def forget(
    identity: Annotated[str, typer.Argument(help="Id of the person.", show_default=False)],
    folders: Annotated[
        list[str],
        typer.Argument(
            metavar="FOLDER...",
            help="Folders with all that lies in them, and datasets on S3.",
            show_default=False,
        ),
    ],
    output: OutputOption = "table",
) -> None:
    """Delete a person from datasets, and what was made from them and still shows the person.

    The manifest of each dataset proves it. Models that were tuned on the person are named.
    """
    with work_on_stderr():
        from dataclasses import asdict

        from umo.data.forget import forget as delete

        done = delete(identity, folders)
    if output == "json":
        print_json({"identity": identity, "done": [asdict(deletion) for deletion in done]})
    elif done:
        rows = [[deletion.place, deletion.done] for deletion in done]
        print_table(rows, header=["place", "done"])
    else:
        print(f"nothing holds {identity}")


def _share(text: str) -> tuple[str, float]:
    name, _, share = text.partition("=")
    try:
        return name, float(share)
    except ValueError:
        raise UsageError(f"{text!r} is not NAME=SHARE", hint="for example tune=0.9") from None

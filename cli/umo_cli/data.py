"""`umo data`: make and look at datasets."""

from pathlib import Path
from typing import Annotated

import typer

from umo_cli.options import ConfigOption, HelpOption, OutputOption, SetOption, configure
from umo_cli.output import print_facts, print_json, print_manifest, progress_bar, work_on_stderr

app = typer.Typer(add_help_option=False, rich_markup_mode=None)


@app.callback()
def data(help_wanted: HelpOption = False) -> None:
    """Make and look at datasets."""


@app.command()
def render(
    out: Annotated[Path, typer.Option(help="Folder to write the dataset to.")],
    config: ConfigOption = None,
    assignments: SetOption = None,
    output: OutputOption = "table",
) -> None:
    """Render scenes of people who do not exist, with reference views of each."""
    with work_on_stderr(), progress_bar("render") as progress:
        from umo.data.render import RenderConfig
        from umo.steps import synthesize

        settings = configure(RenderConfig, config, assignments)
        synthesize.run(settings, folder=out, progress=progress)
    print_manifest(out, output)


@app.command()
def show(
    folder: Annotated[Path, typer.Argument(help="Folder of a dataset.", show_default=False)],
    output: OutputOption = "table",
) -> None:
    """Verify a dataset's digests and show what it holds."""
    with work_on_stderr():
        from collections import Counter

        from umo.data.shards import Dataset
        from umo.files import read_manifest

        read_manifest(folder, verify=True)
        dataset = Dataset(folder)
        people = Counter(dataset.people(index) for index in range(len(dataset)))
    samples = {str(number): people[number] for number in sorted(people)}
    if output == "json":
        print_json({"digest": dataset.digest, "samples": len(dataset), "people": samples})
        return
    print_facts({"folder": folder, "digest": dataset.digest, "samples": len(dataset)})
    print_facts({f"with {people} people": count for people, count in samples.items()})

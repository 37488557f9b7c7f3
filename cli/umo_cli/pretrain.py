"""`umo pretrain`: make a base from rendered people."""

from pathlib import Path
from typing import Annotated

import typer

from umo_cli.options import ConfigOption, OutputOption, SetOption, configure
from umo_cli.output import print_manifest, work_on_stderr


def pretrain(
    out: Annotated[Path, typer.Option(help="Folder for `base`, its `data` and the log.")],
    config: ConfigOption = None,
    assignments: SetOption = None,
    output: OutputOption = "table",
) -> None:
    """Train a base of the FLUX architecture on rendered people.

    Minutes on a GPU, hours on a CPU; `umo run` does not need it, for a base is shipped.
    """
    with work_on_stderr():
        from umo.training.pretrain import PretrainConfig
        from umo.training.pretrain import pretrain as train_base

        made = train_base(configure(PretrainConfig, config, assignments), out, progress=print)
    print_manifest(Path(made["base"]), output)

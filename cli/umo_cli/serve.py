"""`umo serve`: a local tritonserver with the model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from umo_cli.deploy import deploy
from umo_cli.generate import generate
from umo_cli.options import BaseOption, FacesOption, HelpOption, OutputOption, WeightsOption
from umo_cli.output import print_facts, print_json, print_table, work_on_stderr

app = typer.Typer(add_help_option=False, rich_markup_mode=None)

FolderOption = Annotated[
    Path, typer.Option("--folder", help="Folder of the server: models, settings, key and log.")
]
SERVING = Path("runs/serving")


@app.callback()
def serve(help_wanted: HelpOption = False) -> None:
    """Serve the model from a real tritonserver on this machine."""


@app.command()
def setup(output: OutputOption = "table") -> None:
    """Fetch tritonserver from PyPI, once; the only command of these that uses the network.

    It lies beside the packages of this environment; the environment variable UMO_TRITON_HOME names
    another folder.
    """
    with work_on_stderr():
        from umo_serving import environment

        folder = environment.setup(report=print)
    if output == "json":
        print_json({"home": folder})
    else:
        print_facts({"tritonserver": folder})


@app.command()
def up(
    folder: FolderOption = SERVING,
    model: Annotated[
        Path | None,
        typer.Option(
            help="Folder that `umo train` wrote, to try it out without a registry.",
            show_default="what was deployed",
        ),
    ] = None,
    base: BaseOption = "embedded",
    faces: FacesOption = "open",
    weights: WeightsOption = "auto",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    http_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of HTTP.")] = 8000,
    grpc_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of gRPC.")] = 8001,
    metrics_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of metrics.")] = 8002,
    inner_port: Annotated[
        int,
        typer.Option(
            min=1, max=65533, help="First of three ports of Triton itself, loopback only."
        ),
    ] = 8003,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Stay, and log to stderr, until SIGTERM.")
    ] = False,
    output: OutputOption = "table",
) -> None:
    """Start a server in the background and wait until it paints."""
    with work_on_stderr():
        from umo_serving import server, supervisor
        from umo_serving.folder import Folder, Settings

        settings = Settings(
            host=host,
            http_port=http_port,
            grpc_port=grpc_port,
            metrics_port=metrics_port,
            inner_ports=(inner_port, inner_port + 1, inner_port + 2),
        )
        place = Folder(folder.resolve())
        server.prepare(place, settings, model=model, base=base, pack=faces, weights=weights)
        if foreground:
            supervisor.run(place)
            return
        state = server.up(place, report=print)
    _show(state, output)


@app.command()
def down(folder: FolderOption = SERVING, output: OutputOption = "table") -> None:
    """Stop a server; calls under way get some seconds to end."""
    with work_on_stderr():
        from umo_serving import server
        from umo_serving.folder import Folder

        stopped = server.down(Folder(folder.resolve()))
    if output == "json":
        print_json({"stopped": stopped})
    else:
        print_facts({"server": "stopped" if stopped else "did not run"})


@app.command()
def status(folder: FolderOption = SERVING, output: OutputOption = "table") -> None:
    """Show how a server is, by a picture that it paints now; exit 1 if it does not."""
    with work_on_stderr():
        from umo_serving import server
        from umo_serving.folder import Folder

        state = server.status(Folder(folder.resolve()))
    _show(state, output)


@app.command()
def logs(
    folder: FolderOption = SERVING,
    lines: Annotated[int, typer.Option(min=0, help="How many of the last lines.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as lines come.")] = False,
) -> None:
    """Show what a server said; a line of JSON is a call."""
    from umo_serving import server
    from umo_serving.folder import Folder

    place = Folder(folder.resolve())
    for line in server.last_lines(place, lines):
        typer.echo(line)
    if follow:
        for line in server.follow(place):
            typer.echo(line)


app.command()(deploy)
app.command()(generate)


def _show(state: Mapping[str, Any], output: str) -> None:
    if output == "json":
        print_json(state)
        return
    facts = {name: state[name] for name in ("process", "http", "grpc", "metrics")}
    if sign := state["probe"]:
        facts["paints"] = f"version {sign['version']}, digest {sign['digest'][:12]}"
        facts["probe"] = f"{sign['seconds']:.2f} s"
    else:
        facts["paints"] = "nothing is deployed yet"
    print_facts(facts)
    if routes := state["routes"]:
        rows = [["champion", routes["champion"]["version"], f"{1 - routes['share']:.0%}"]]
        if routes["challenger"]:
            rows.append(["challenger", routes["challenger"]["version"], f"{routes['share']:.0%}"])
        print_table(rows, header=["", "version", "calls"])
    if models := state["models"]:
        print_table([[*item] for item in models.items()], header=["model", "state"])

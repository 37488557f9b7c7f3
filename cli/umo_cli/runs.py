"""`umo runs`: pipelines on a cluster, or here with --local."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from umo.errors import ExitCode, UmoError, UsageError
from umo_cli.options import BaseOption, ConfigOption, HelpOption, OutputOption, SetOption, configure
from umo_cli.output import print_facts, print_json, print_result, print_table, work_on_stderr

if TYPE_CHECKING:
    from umo_pipelines.remote import Package, Remote

app = typer.Typer(add_help_option=False, rich_markup_mode=None)

Pipeline = Literal["training", "evaluation", "promotion", "data"]
PipelineArgument = Annotated[Pipeline, typer.Argument(help="Which pipeline.", show_default=False)]
RunArgument = Annotated[str, typer.Argument(help="Id of the run.", show_default=False)]
NamespaceOption = Annotated[
    str, typer.Option("--namespace", "-n", help="Namespace.", show_default="the context's")
]
HostOption = Annotated[
    str,
    typer.Option(help="Address of Kubeflow Pipelines.", envvar="UMO_PIPELINES", show_default=False),
]
OutOption = Annotated[
    Path,
    typer.Option(
        "--out",
        help="Run folder: below /runs on a cluster's volume, or here with --local.",
        show_default=False,
    ),
]
ModelOption = Annotated[
    str | None, typer.Option("--model", help="Name of the model.", show_default="umo-embedded")
]
VersionOption = Annotated[
    str,
    typer.Option("--version", help="Candidate to judge or promote: a number, or `champion`."),
]
HoursOption = Annotated[
    float, typer.Option("--hours", min=0.0, help="How long a promotion waits for a reviewer.")
]
MinutesOption = Annotated[
    float,
    typer.Option(
        "--minutes", min=0.0, help="How long a promotion waits for a deployer; 0 does not wait."
    ),
]
ImageOption = Annotated[
    str, typer.Option("--image", help="Image of every step.", show_default="the built-in one")
]
GpusOption = Annotated[
    int, typer.Option("--gpus", min=0, help="GPUs of each task that paints or trains.")
]
ShardsOption = Annotated[
    int,
    typer.Option(
        "--shards", min=1, help="Tasks that render each split, or share the work of data."
    ),
]
NodesOption = Annotated[
    int, typer.Option("--nodes", min=0, help="Train as a TrainJob on so many nodes; 0 in the task.")
]
RuntimeOption = Annotated[
    str, typer.Option("--runtime", help="ClusterTrainingRuntime of a TrainJob.")
]
VolumeOption = Annotated[str, typer.Option("--volume", help="Claim of the volume of runs.")]
AccountOption = Annotated[
    str, typer.Option("--service-account", help="Account of the pods.", show_default="KFP's own")
]
RUNTIME, VOLUME = "umo-umo-platform-training", "umo-umo-platform-runs"
SHARDS = 4


@app.callback()
def runs(help_wanted: HelpOption = False) -> None:
    """Run pipelines on a cluster and look after them."""


@app.command()
def submit(
    pipeline: PipelineArgument,
    out: OutOption,
    config: ConfigOption = None,
    assignments: SetOption = None,
    model: ModelOption = None,
    version: VersionOption = "champion",
    base: BaseOption = "embedded",
    hours: HoursOption = 72.0,
    minutes: MinutesOption = 30.0,
    local: Annotated[bool, typer.Option("--local", help="Run it here, and wait.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would run, and submit nothing.")
    ] = False,
    image: ImageOption = "",
    gpus: GpusOption = 0,
    shards: ShardsOption = SHARDS,
    nodes: NodesOption = 0,
    runtime: RuntimeOption = RUNTIME,
    volume: VolumeOption = VOLUME,
    account: AccountOption = "",
    host: HostOption = "",
    namespace: NamespaceOption = "",
    output: OutputOption = "table",
) -> None:
    """Start a pipeline; what an earlier run with the same inputs made is reused."""
    with work_on_stderr():
        from umo_pipelines import orders
        from umo_pipelines.remote import Package, Remote

        values = _values(
            pipeline, out, config, assignments, model, version, base, hours, minutes, shards, local
        )
        if local:
            facts: dict[str, Any] = orders.run_here(pipeline, values, out)
        else:
            values |= {"volume": volume}
            if nodes and pipeline == "training":
                job = {"runtime": runtime, "nodes": nodes, "processes": max(gpus, 1)}
                values["job"] = json.dumps(job)
            package = Package.compile(pipeline, image=image, gpus=gpus, nodes=nodes, shards=shards)
            if not dry_run:
                name = f"{pipeline} {out.name}"
                run = Remote(host, namespace).submit(package, values, name=name, account=account)
                facts = {"run": run, "next": f"umo runs show {run}"}
    if dry_run and not local:
        _show_plan(package, values, host, namespace, output)
    else:
        print_result(facts, output)


@app.command("list")
def list_runs(
    count: Annotated[int, typer.Option("--count", min=1, help="How many.")] = 20,
    host: HostOption = "",
    namespace: NamespaceOption = "",
    output: OutputOption = "table",
) -> None:
    """Show the newest runs."""
    with work_on_stderr():
        found = _remote(host, namespace).runs(count)
    if output == "json":
        print_json({"runs": found})
    elif found:
        keys = ("id", "name", "state", "created")
        print_table([[run[key] for key in keys] for run in found], header=keys)
    else:
        print_facts({"runs": "none yet; start one with `umo runs submit`"})


@app.command()
def show(
    run: RunArgument,
    host: HostOption = "",
    namespace: NamespaceOption = "",
    output: OutputOption = "table",
) -> None:
    """Show a run: its tasks, why one waits or failed, and what to do next; exit 1 if it failed."""
    with work_on_stderr():
        from umo_pipelines import orders

        found = _remote(host, namespace).run(run)
        found["why"] = orders.why(found, namespace)
        found["next"] = orders.next_command(found)
    if output == "json":
        print_json(found)
    else:
        print_facts({key: found[key] for key in ("name", "state", "created", "finished")})
        if found["tasks"]:
            keys = ("name", "state", "error")
            print_table([[task[key] for key in keys] for task in found["tasks"]], header=keys)
        for line in found["why"]:
            print(line)
        print_facts({"next": found["next"]})
    if found["state"] == "FAILED":
        raise typer.Exit(ExitCode.FAILED)


@app.command()
def logs(
    run: RunArgument,
    task: Annotated[str, typer.Option("--task", help="Of one task.", show_default="all")] = "",
    lines: Annotated[int, typer.Option("--lines", min=1, help="Last lines of each pod.")] = 50,
    host: HostOption = "",
    namespace: NamespaceOption = "",
) -> None:
    """Show what the pods of a run said."""
    from umo_pipelines import orders
    from umo_pipelines.kube import Kube

    found = _remote(host, namespace).run(run)
    for name, text in orders.logs(Kube(namespace), found, task=task, lines=lines):
        typer.echo(f"== {name}")
        typer.echo(text)


@app.command()
def cancel(
    run: RunArgument,
    host: HostOption = "",
    namespace: NamespaceOption = "",
    output: OutputOption = "table",
) -> None:
    """Stop a run; what it finished stays."""
    with work_on_stderr():
        _remote(host, namespace).cancel(run)
    print_result({"cancelled": run}, output)


@app.command()
def schedule(
    pipeline: PipelineArgument,
    cron: Annotated[
        str, typer.Argument(help="When: six fields, the first are seconds.", show_default=False)
    ],
    out: OutOption,
    config: ConfigOption = None,
    assignments: SetOption = None,
    model: ModelOption = None,
    version: VersionOption = "champion",
    base: BaseOption = "embedded",
    hours: HoursOption = 72.0,
    minutes: MinutesOption = 30.0,
    image: ImageOption = "",
    gpus: GpusOption = 0,
    shards: ShardsOption = SHARDS,
    volume: VolumeOption = VOLUME,
    account: AccountOption = "",
    host: HostOption = "",
    namespace: NamespaceOption = "",
    output: OutputOption = "table",
) -> None:
    """Start a pipeline again and again, never twice at a time."""
    with work_on_stderr():
        from umo_pipelines.remote import Package, Remote

        if len(cron.split()) != 6:
            raise UsageError(
                f"{cron!r} has {len(cron.split())} fields", hint="for example '0 0 3 * * 0'"
            )
        values = _values(
            pipeline, out, config, assignments, model, version, base, hours, minutes, shards, False
        )
        package = Package.compile(pipeline, image=image, gpus=gpus, shards=shards)
        made = Remote(host, namespace).schedule(
            package,
            values | {"volume": volume},
            name=f"{pipeline} {out.name}",
            cron=cron,
            account=account,
        )
    print_result({"schedule": made}, output)


def _remote(host: str, namespace: str) -> "Remote":
    from umo_pipelines.remote import Remote

    return Remote(host, namespace)


def _values(
    pipeline: str,
    out: Path,
    config: Path | None,
    assignments: list[str] | None,
    model: str | None,
    version: str,
    base: str,
    hours: float,
    minutes: float,
    shards: int,
    local: bool,
) -> dict[str, Any]:
    from umo.steps.dataset import DatasetConfig
    from umo.steps.run import RunConfig
    from umo_pipelines import orders

    folder = out.resolve() if local else out
    if not local and Path("/runs") not in folder.parents:
        raise UsageError(f"--out {out} is not on the volume", hint=f"for example /runs/{out.name}")
    if pipeline == "data":
        order = configure(DatasetConfig, config, assignments)
        return orders.data_values(order, folder, shares=1 if local else shards)
    settings = configure(RunConfig, config, assignments, base=base, model=model)
    return orders.values(pipeline, settings, folder, version=version, hours=hours, minutes=minutes)


def _show_plan(
    package: "Package", values: Mapping[str, Any], host: str, namespace: str, output: str
) -> None:
    with work_on_stderr():
        before = _last(package.name, host, namespace)
    earlier = before["parameters"] if before else {}
    reused = package.cached(values, earlier) if before else dict.fromkeys(package.tasks, False)
    changed = {
        key: [earlier.get(key), values.get(key)]
        for key in sorted({*values, *earlier})
        if before and earlier.get(key) != values.get(key)
    }
    rows = []
    for name, task in package.tasks.items():
        asked = package.resources(name)
        after = ", ".join(task.get("dependentTasks", []))
        state = "reused" if reused[name] else "runs"
        rows.append([name, after, asked["cpu"], asked["memory"], asked["gpus"], state])
    if output == "json":
        header = ("task", "after", "cpu", "memory", "gpus", "cache")
        tasks = [dict(zip(header, row, strict=True)) for row in rows]
        print_json({"tasks": tasks, "last": before["id"] if before else None, "changed": changed})
        return
    print_table(rows, header=["task", "after", "cpu", "memory", "gpus", ""])
    print_facts({"compared with": before["id"] if before else "no run that succeeded"})
    for key, (old, new) in changed.items():
        print(f"{key}\n  - {old}\n  + {new}")


def _last(pipeline: str, host: str, namespace: str) -> dict[str, Any] | None:
    """The last good run, where Kubeflow Pipelines can be asked."""
    if not host:
        return None
    try:
        return _remote(host, namespace).last(pipeline)
    except UmoError as error:
        typer.echo(f"warning: {error}", err=True)
        return None

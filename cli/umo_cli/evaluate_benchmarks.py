"""`umo evaluate <benchmark>`: score models, or folders of pictures, on a benchmark."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from umo.errors import UsageError
from umo_cli.model_options import RunOption, connect, number_of
from umo_cli.options import (
    BaseOption,
    ConfigOption,
    FacesOption,
    Format,
    OutputOption,
    SetOption,
    configure,
)
from umo_cli.output import print_facts, print_json, print_table, progress_bar, work_on_stderr

if TYPE_CHECKING:
    from umo.benchmarks.item import Benchmark
    from umo.steps.benchmark import Contender

ModelsOption = Annotated[
    list[str],
    typer.Option(
        "--model",
        metavar="LABEL=MODEL",
        help="A folder of `umo train`, a LoRA file, a folder of pictures, NAME@VERSION of a "
        "registered model, or `base`; may be given several times.",
        show_default=False,
    ),
]
OutOption = Annotated[
    Path, typer.Option(help="Folder for pictures, faces and scores.", show_default=False)
]
ShardOption = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Only paint and look at the I-th of N shares, from 1; without it, score.",
        show_default=False,
    ),
]
ProcessesOption = Annotated[int, typer.Option(help="Processes that look at pictures.", min=1)]
CompatibleOption = Annotated[
    bool,
    typer.Option("--compatible", help="See faces as the public scripts do.", show_default=False),
]
PromptsOption = Annotated[int, typer.Option(help="Prompts for each number of people.", min=1)]
MostPeopleOption = Annotated[int, typer.Option(help="Most people in a picture, 1 to 6.", min=1)]


def xversebench(
    items: Annotated[
        Path, typer.Option(help="XVerseBench_single.json or _multi.json.", show_default=False)
    ],
    references: Annotated[
        Path, typer.Option(help="Folder with human/, object/ and animal/.", show_default=False)
    ],
    model: ModelsOption,
    out: OutOption,
    base: BaseOption = "embedded",
    faces: FacesOption = "open",
    run: RunOption = None,
    compatible: CompatibleOption = False,
    shard: ShardOption = None,
    processes: ProcessesOption = 1,
    config: ConfigOption = None,
    assignments: SetOption = None,
    output: OutputOption = "table",
) -> None:
    """Score on XVerseBench; pictures and score files are those of its public scripts."""

    def read() -> "Benchmark":
        from umo.benchmarks.xversebench import read_xversebench

        return read_xversebench(items, references)

    _score(
        read,
        model,
        out,
        base,
        faces,
        run,
        compatible,
        shard,
        processes,
        config,
        assignments,
        output,
    )


def omnicontext(
    data: Annotated[
        str,
        typer.Option(
            metavar="FOLDER|hub:NAME",
            help="Folder with the dataset, parquet or arrow, or its name on the hub.",
            show_default=False,
        ),
    ],
    model: ModelsOption,
    out: OutOption,
    base: BaseOption = "embedded",
    faces: FacesOption = "open",
    run: RunOption = None,
    compatible: CompatibleOption = False,
    shard: ShardOption = None,
    processes: ProcessesOption = 1,
    config: ConfigOption = None,
    assignments: SetOption = None,
    output: OutputOption = "table",
) -> None:
    """Score on the tasks of OmniContext that have people, in its layout."""

    def read() -> "Benchmark":
        from umo.benchmarks.omnicontext import omnicontext_benchmark

        return omnicontext_benchmark(out / "benchmark", data)

    _score(
        read,
        model,
        out,
        base,
        faces,
        run,
        compatible,
        shard,
        processes,
        config,
        assignments,
        output,
    )


def rendered(
    model: ModelsOption,
    out: OutOption,
    prompts: PromptsOption = 10,
    most_people: MostPeopleOption = 6,
    base: BaseOption = "embedded",
    faces: FacesOption = "open",
    run: RunOption = None,
    compatible: CompatibleOption = False,
    shard: ShardOption = None,
    processes: ProcessesOption = 1,
    config: ConfigOption = None,
    assignments: SetOption = None,
    output: OutputOption = "table",
) -> None:
    """Score on rendered people whom no training ever saw, one to six in a picture."""

    def read() -> "Benchmark":
        from umo.benchmarks.rendered import GroupsConfig, rendered_benchmark

        groups = GroupsConfig(prompts=prompts, most_people=most_people)
        return rendered_benchmark(out / "benchmark", groups)

    _score(
        read,
        model,
        out,
        base,
        faces,
        run,
        compatible,
        shard,
        processes,
        config,
        assignments,
        output,
    )


def people(
    model: ModelsOption,
    out: OutOption,
    prompts: PromptsOption = 10,
    most_people: MostPeopleOption = 6,
    base: BaseOption = "embedded",
    faces: FacesOption = "open",
    run: RunOption = None,
    compatible: CompatibleOption = False,
    shard: ShardOption = None,
    processes: ProcessesOption = 1,
    config: ConfigOption = None,
    assignments: SetOption = None,
    output: OutputOption = "table",
) -> None:
    """Score on ten photo-like people who do not exist, of the package openpeople."""

    def read() -> "Benchmark":
        from umo.benchmarks.people import people_benchmark
        from umo.benchmarks.rendered import GroupsConfig

        groups = GroupsConfig(prompts=prompts, most_people=most_people)
        return people_benchmark(out / "benchmark", groups)

    _score(
        read,
        model,
        out,
        base,
        faces,
        run,
        compatible,
        shard,
        processes,
        config,
        assignments,
        output,
    )


def _score(
    read: "Callable[[], Benchmark]",
    models: Sequence[str],
    out: Path,
    base: str,
    faces: str,
    run: Path | None,
    compatible: bool,
    shard: str | None,
    processes: int,
    config: Path | None,
    assignments: list[str] | None,
    output: Format,
) -> None:
    share = _share(shard)
    with work_on_stderr(), progress_bar("evaluate") as progress, ExitStack() as stack:
        from umo.benchmarks.painting import PaintingConfig
        from umo.steps import benchmark as step

        settings = configure(PaintingConfig, config, assignments)
        contenders = [_contender(model, run, stack) for model in models]
        benchmark = read()
        results = step.run(
            benchmark,
            contenders,
            base=base,
            pack=faces,
            folder=out,
            config=settings,
            look="again" if compatible else "once",
            share=share,
            processes=processes,
            progress=progress,
        )
    facts = {
        "benchmark": benchmark.name,
        "version": benchmark.version,
        "items": len(benchmark.items),
        "absent": len(benchmark.absent),
    }
    _show(facts, results, benchmark.absent, output)
    step.refuse_failures(results)


def _share(shard: str | None) -> tuple[int, int]:
    """The share that a person counts from 1, counted from 0, and how many there are."""
    if shard is None:
        return 0, 1
    number, slash, count = shard.partition("/")
    if not slash or not (number.isdecimal() and count.isdecimal()):
        raise UsageError(f"--shard {shard!r} is not I/N", hint="for example --shard 1/4")
    if not 1 <= int(number) <= int(count):
        raise UsageError(f"--shard {shard!r} is no share", hint=f"the first is 1/{count}")
    if int(count) == 1:
        raise UsageError(f"--shard {shard!r} is everything", hint="leave --shard out")
    return int(number) - 1, int(count)


def _contender(text: str, run: Path | None, stack: ExitStack) -> "Contender":
    from umo.evaluation.evaluate import LABEL
    from umo.steps.benchmark import contender

    label, equals, place = text.partition("=")
    if not equals or not place or not LABEL.fullmatch(label):
        raise UsageError(
            f"--model {text!r} is not LABEL=MODEL",
            hint="for example --model tuned=runs/lora; labels have letters, digits and .-_",
        )
    if place == "base":
        return contender(label, None)
    name, at, version = place.partition("@")
    if not at or Path(place).exists():
        return contender(label, Path(place))
    return contender(label, _registered(name, version, run, stack))


def _registered(name: str, version: str, run: Path | None, stack: ExitStack) -> Path:
    """A copy of a registered version, each byte as it was registered; gone with the stack."""
    from umo.promotion.steps import refuse_faults
    from umo.promotion.verify import folder_faults
    from umo.registry import ARTIFACTS

    registry, ledger = connect(run)
    found = registry.candidate(name, number_of(registry, ledger, name, version))
    folder = stack.enter_context(registry.files(found.run))
    faults = folder_faults(folder, ARTIFACTS, recorded=[found.manifest])
    refuse_faults([f"{found.title}: {fault}" for fault in faults])
    return folder


def _show(
    facts: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    absent: Sequence[str],
    output: Format,
) -> None:
    if output == "json":
        print_json({**facts, "models": results})
        return
    print_facts(facts)
    if absent:
        print(f"{len(absent)} reference pictures are not there: {', '.join(absent[:3])} ...")
    if results:
        columns = ("model", "pictures", "id_sim", "id_conf", "id_conf_scripts", "failures")
        rows = [[result[name] for name in columns] for result in results]
        titles = ("model", "pictures", "ID-Sim", "ID-Conf", "ID-Conf (scripts)", "failures")
        print_table(rows, header=titles)
        print_facts({result["model"]: result["folder"] for result in results})

"""`umo doctor`: can this machine do the work, and if not, what helps."""

import os
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from umo.errors import ExitCode, UmoError
from umo_cli.options import OutputOption
from umo_cli.output import print_facts, print_json, print_table, work_on_stderr

GIB = 2**30
MEMORY_NEEDED = 6 * GIB
DISK_NEEDED = 2 * GIB
ASSETS = {"faces": "face pack", "people": "head of the renderer", "embedded": "embedded base"}
"""What each folder of `umo/assets` holds."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: bool
    found: str
    fix: str = ""
    """What to do when it is not ok."""


def doctor(
    cluster: Annotated[
        bool, typer.Option("--cluster", help="Look at a Kubernetes cluster instead.")
    ] = False,
    namespace: Annotated[
        str,
        typer.Option("--namespace", "-n", help="Of the release.", show_default="the context's"),
    ] = "",
    release: Annotated[str, typer.Option(help="Name of the release.")] = "umo",
    bucket: Annotated[
        str, typer.Option(help="Of the release; looked at with the AWS variables of here.")
    ] = "umo",
    output: OutputOption = "table",
) -> None:
    """Check Python, packages, memory, disk, shipped weights and renderer; exit 1 on a failure."""
    with work_on_stderr():
        if cluster:
            from umo_cli.doctor_cluster import look as look_at_cluster

            checks = look_at_cluster(namespace, release, bucket)
        else:
            checks = [check for look in CHECKS for check in look()]
    healthy = all(check.ok for check in checks)
    if output == "json":
        print_json({"ok": healthy, "checks": [asdict(check) for check in checks]})
    else:
        rows = [["ok" if check.ok else "FAIL", check.name, check.found] for check in checks]
        print_table(rows, header=["", "check", "found"])
        if not healthy:
            print_facts({check.name: check.fix for check in checks if not check.ok})
    if not healthy:
        raise typer.Exit(ExitCode.FAILED)


def _python() -> Iterator[Check]:
    yield Check(
        name="python",
        ok=platform.python_version_tuple()[:2] == ("3", "11"),
        found=platform.python_version(),
        fix="run with Python 3.11: remove .venv, then `make install`",
    )


def _torch() -> Iterator[Check]:
    fix = "remove .venv, then `make install`"
    try:
        import torch
    except (ImportError, OSError) as error:
        yield Check(name="torch", ok=False, found=f"does not import: {error}", fix=fix)
        return
    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "CPU"
    yield Check(name="torch", ok=True, found=f"{torch.__version__} on {device}")


def _machine() -> Iterator[Check]:
    import psutil

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Check(name="cores", ok=True, found=str(cores))
    available = psutil.virtual_memory().available
    yield Check(
        name="memory",
        ok=available >= MEMORY_NEEDED,
        found=f"{available / GIB:.1f} GiB available",
        fix=f"`umo run` needs up to {MEMORY_NEEDED // GIB} GiB: end other programs",
    )
    free = shutil.disk_usage(Path.cwd()).free
    yield Check(
        name="disk",
        ok=free >= DISK_NEEDED,
        found=f"{free / GIB:.1f} GiB free in {Path.cwd()}",
        fix=f"free {DISK_NEEDED // GIB} GiB, or name another folder with --out",
    )


def _packages() -> Iterator[Check]:
    from importlib import metadata

    from packaging.requirements import Requirement

    requirements = [Requirement(line) for line in metadata.requires("umo-platform") or []]
    wrong = [
        f"{requirement.name} {_installed(requirement.name)} is not {requirement.specifier}"
        for requirement in requirements
        if (requirement.marker is None or requirement.marker.evaluate({"extra": ""}))
        and not requirement.specifier.contains(_installed(requirement.name), prereleases=True)
    ]
    yield Check(
        name="packages",
        ok=not wrong,
        found=", ".join(wrong) or "as pinned",
        fix="remove .venv, then `make install`",
    )


def _installed(name: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "0"


def _weights() -> Iterator[Check]:
    import umo
    from umo.files import MANIFEST, read_manifest

    assets = Path(umo.__path__[0]) / "assets"
    fix = "restore the files: `git checkout -- components/umo/assets`"
    for part, name in ASSETS.items():
        manifests = sorted((assets / part).rglob(MANIFEST))
        try:
            digests = [read_manifest(path.parent, verify=True)["digest"] for path in manifests]
        except UmoError as error:
            yield Check(name=name, ok=False, found=str(error), fix=fix)
            continue
        found = ", ".join(digest[:12] for digest in digests) or f"nothing in {assets / part}"
        yield Check(name=name, ok=bool(digests), found=found, fix=fix)


def _renderer() -> Iterator[Check]:
    try:
        import umo.data.render as renderer
    except ImportError as error:
        fix = "remove .venv, then `make install`"
        yield Check(name="renderer", ok=False, found=f"does not import: {error}", fix=fix)
        return
    yield Check(name="renderer", ok=True, found=renderer.__name__)


CHECKS: tuple[Callable[[], Iterator[Check]], ...] = (
    _python,
    _torch,
    _machine,
    _packages,
    _weights,
    _renderer,
)

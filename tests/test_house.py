"""Rules of the whole tree that no linter knows."""

import subprocess
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PINS = {
    canonicalize_name(requirement.name): requirement
    for requirement in map(Requirement, (ROOT / "constraints.txt").read_text().splitlines())
}


def declared() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [
        Requirement(line)
        for line in (*project["dependencies"], *project["optional-dependencies"]["dev"])
    ]


def test_every_weight_file_is_in_the_notice() -> None:
    notice = (ROOT / "NOTICE").read_text()
    tree = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.safetensors"]
    listed = subprocess.run(tree, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for path in map(Path, listed.split()):
        folder, *inside = path.relative_to("components/umo/assets").parts
        assert f"{folder}/" in notice, f"NOTICE does not name {path}"
        if folder == "faces":
            assert inside[-1] in notice, f"NOTICE does not name {path}"


def test_everything_declared_is_pinned_exactly() -> None:
    assert all(str(pin.specifier).startswith("==") for pin in PINS.values())
    for requirement in declared():
        pin = PINS[canonicalize_name(requirement.name)]
        version = str(pin.specifier).removeprefix("==")
        assert requirement.specifier.contains(version), f"{requirement} is pinned to {version}"


def test_this_environment_is_the_pinned_one() -> None:
    for requirement in declared():
        pin = PINS[canonicalize_name(requirement.name)]
        assert pin.specifier.contains(metadata.version(requirement.name)), requirement.name


def test_nothing_pinned_replaces_torch() -> None:
    assert not [name for name in PINS if name.startswith(("nvidia", "torchvision", "torchaudio"))]


@pytest.mark.parametrize("target", ["help", "install", "tools", "run", "test", "lint", "format"])
def test_make_target(target: str) -> None:
    done = subprocess.run(
        ["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout
    shown = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert f"make {target} " in shown

"""What both Dockerfiles promise, read from their text."""

import fnmatch
import shlex
from pathlib import Path

import pytest

from services.helm_chart import ROOT
from umo_pipelines.placement import USER

FILES = {part: ROOT / part / "Dockerfile" for part in ("components", "serving")}
SHARED = ("requirements", "packages", "code", "runtime")


def stages(part: str) -> dict[str, list[list[str]]]:
    """Instructions of each stage, as words; the last stage is called `image`."""
    text = FILES[part].read_text().replace("\\\n", " ")
    found: dict[str, list[list[str]]] = {"": []}
    name = ""
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        words = shlex.split(line)
        if words[0] == "FROM":
            name = words[3] if len(words) == 4 else "image"
            found[name] = []
        found[name].append(words)
    return found


def ignored(path: str) -> bool:
    """Whether .dockerignore keeps a path out of the build; the last pattern that fits counts."""
    out = False
    for pattern in (ROOT / ".dockerignore").read_text().split("\n"):
        if not pattern or pattern.startswith("#"):
            continue
        bare = pattern.removeprefix("!").removeprefix("**/")
        parts = path.split("/") if "**/" in pattern else path.split("/")[:1]
        if any(fnmatch.fnmatch(part, bare) for part in parts):
            out = not pattern.startswith("!")
    return out


def test_stages_that_both_have_are_equal() -> None:
    """Else they are built twice, and a node fetches two gigabytes twice."""
    components, serving = stages("components"), stages("serving")
    assert components[""] == serving[""]
    for name in SHARED:
        assert components[name] == serving[name], name


@pytest.mark.parametrize("part", FILES)
def test_what_is_copied_is_there(part: str) -> None:
    sources = [
        source
        for instructions in stages(part).values()
        for words in instructions
        if words[0] == "COPY" and not words[1].startswith("--from")
        for source in words[1:-1]
    ]
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert not ignored(source), source


@pytest.mark.parametrize(
    "path",
    [".git", ".venv", "runs", "tests", "helm", "components/Dockerfile", "cli/umo_cli/__pycache__"],
)
def test_what_is_not_needed_is_not_sent(path: str) -> None:
    assert ignored(path)


@pytest.mark.parametrize("part", FILES)
def test_packages_stand_before_the_code(part: str) -> None:
    """A change of the code leaves the layers with torch and the others as they are."""
    found = stages(part)
    copied = [words[1:] for words in found["packages"] if words[0] == "COPY"]
    assert copied == [
        ["constraints.txt", "."],
        ["--from=requirements", "/src/requirements.txt", "."],
    ]
    assert found["runtime"][1:] == [["COPY", "--from=packages", "/opt/umo/venv", "/opt/umo/venv"]]
    assert found["image"][0] == ["FROM", "runtime"]
    last = [words[1:] for words in found["image"] if words[0] == "COPY"][-1]
    assert last == ["--from=code", "/opt/umo/code", "/opt/umo/venv"]


@pytest.mark.parametrize("part", FILES)
def test_user_is_the_chart_s(part: str) -> None:
    last = stages(part)["image"]
    assert ["USER", f"{USER}:{USER}"] in last
    assert any(words[:4] == ["RUN", "useradd", "--uid", str(USER)] for words in last)
    helpers = Path(ROOT / "helm/umo-platform/templates/_helpers.tpl").read_text()
    assert f"runAsUser: {{{{ .user | default {USER} }}}}" in helpers

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.people import Person
from services.small_run import write_run
from umo.errors import ExitCode
from umo.steps import register
from umo.steps.layout import Layout
from umo.store import LEDGER, TRACKING

NAME = "people"


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run folder with two candidates that anna trained."""
    out = tmp_path_factory.mktemp("runs") / "default"
    with pytest.MonkeyPatch.context() as patch:
        for variable in (TRACKING, LEDGER, "UMO_SIGNING_KEY", "UMO_VERIFY_KEY"):
            patch.delenv(variable, raising=False)
        patch.setenv("UMO_ACTOR", "anna")
        write_run(out)
        register.run(NAME, layout=Layout(out))
        second = write_run(out.parent / "second", candidate=0.75).folder
        for part in ("train", "evaluation"):
            (out / part).rename(out / f"{part}-1")
            (second / part).rename(out / part)
        register.run(NAME, layout=Layout(out))
        yield out


@pytest.fixture
def policy(out: Path) -> Path:
    path = out / "policy.yaml"
    path.write_text("items: 8\n")
    return path


class Team:
    """Three people on one laptop."""

    def __init__(self, out: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.out = out
        self.anna, self.ben, self.carl = (
            Person({"UMO_ACTOR": name}, capture) for name in ("anna", "ben", "carl")
        )

    def line(self, person: Person, *arguments: object) -> tuple[int, str]:
        return person.refused(*arguments, "--run", self.out)

    def json(self, person: Person, *arguments: object) -> Any:
        return person.models(*arguments, "--run", self.out)

    def text(self, person: Person, *arguments: object) -> str:
        said = person.umo("models", *arguments, "--run", self.out)
        assert said.code == 0, said.error
        return said.out


@pytest.fixture
def team(out: Path, capfd: pytest.CaptureFixture[str]) -> Team:
    return Team(out, capfd)


def test_the_whole_way(team: Team, policy: Path, tmp_path: Path) -> None:
    anna, ben, carl = team.anna, team.ben, team.carl
    listed = team.json(anna, "list")["models"][0]
    assert [version["state"] for version in listed["versions"]] == ["evaluated"] * 2
    assert listed["champion"] is None

    assert "nothing was stored" in team.text(
        anna, "submit", NAME, 1, "--policy", policy, "--dry-run"
    )
    reports = [
        team.json(anna, "submit", NAME, number, "--policy", policy)["report"] for number in (1, 2)
    ]
    shown = team.json(ben, "show", NAME, 1)
    assert shown["report"] == reports[0]
    assert Path(shown["read"]).is_file()
    assert {gate["gate"] for gate in shown["gates"]} >= {"items", "consent", "safetensors"}
    assert reports[0] in team.text(ben, "show", NAME, 1, "--save", tmp_path / "review")
    assert (tmp_path / "review/review.html").is_file()
    assert team.text(ben, "card", NAME, 1).startswith("---\nlicense: ")

    code, line = team.line(anna, "approve", NAME, 1, "--report", reports[0], "--reason", "mine")
    assert (code, "ask somebody else to review it" in line) == (ExitCode.DENIED, True)
    code, line = team.line(ben, "approve", NAME, 1, "--report", reports[1], "--reason", "fine")
    assert (code, f"submitted is {reports[0]}" in line) == (ExitCode.DIFFERS, True)
    code, line = team.line(carl, "promote", NAME, 1)
    assert (code, "umo models approve people 1" in line) == (ExitCode.DENIED, True)

    for number, report in enumerate(reports, start=1):
        arguments = ("approve", NAME, number, "--report", report, "--reason", f"good {number}")
        assert "would approve it" in team.text(ben, *arguments, "--dry-run")
        assert team.json(ben, *arguments)["event"]["kind"] == "approved"
        assert team.json(carl, "promote", NAME, number, "--dry-run")["event"] is None
        event = team.json(carl, "promote", NAME, number, "--expected", number - 1)["event"]
        assert (event["kind"], event["version"]) == ("promoted", number)

    code, line = team.line(carl, "rollback", NAME, "--reason", "hands", "--expected", 1)
    assert (code, "champion of people is 2, you expected 1" in line) == (ExitCode.DIFFERS, True)
    differs = team.json(ben, "diff", NAME, 2, 1)["differs"]
    assert set(differs) >= {"weights"}
    assert "weights" in team.text(ben, "diff", NAME, "previous")
    assert "the same" in team.text(ben, "diff", NAME, 2)

    assert "rolled_back" in team.text(carl, "rollback", NAME, "--reason", "hands")
    listed = team.json(anna, "list", NAME)["models"][0]
    assert [version["alias"] for version in listed["versions"]] == ["champion", ""]
    assert listed["champion"]["decided_by"] == "carl"
    assert "champion" in team.text(anna, "list")

    history = team.json(anna, "history", NAME)
    kinds = [event["kind"] for event in history["events"]]
    assert kinds.count("refused") == 4
    assert history["champion"]["reason"] == "hands"
    moment = next(event["at"] for event in history["events"] if event["kind"] == "promoted")
    then = team.json(anna, "history", NAME, "--as-of", moment)["champion"]
    assert (then["version"], then["approved_by"], then["decided_by"]) == (1, "ben", "carl")
    assert then["reason"] == "good 1"
    assert team.json(anna, "history", NAME, "--as-of", "2020-01-01")["champion"] is None
    assert team.json(anna, "list", "--as-of", "2020-01-01")["models"][0]["versions"] == []
    printed = team.text(anna, "history", NAME)
    assert "gates passed" in printed
    assert "refused (approve)" in printed

    assert "as it was" in team.text(anna, "verify")
    assert "agree" in team.text(carl, "reconcile", NAME)


def test_a_failed_gate_prints_every_verdict(team: Team, policy: Path) -> None:
    policy.write_text("items: 8\nid_sim_gain: 99\n")
    said = team.anna.umo(
        *("models", "submit", NAME, 2, "--policy", policy, "--run", team.out, "--dry-run")
    )
    assert said.code == ExitCode.DENIED
    assert "id_sim" in said.out
    assert "safetensors" in said.out
    assert said.error.startswith("error: people 2 fails the gate id_sim: failed: ")
    assert said.error.count("\n") == 1
    said = team.anna.umo(
        *("models", "submit", NAME, 2, "--policy", policy, "--run", team.out, "--dry-run"),
        *("-o", "json"),
    )
    verdicts = {verdict["gate"]: verdict["passed"] for verdict in json.loads(said.out)["verdicts"]}
    assert (verdicts["id_sim"], verdicts["items"]) == (False, True)


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (("show", "nobody", "1"), ExitCode.NOT_FOUND, "no model 'nobody'; there is people"),
        (("show", NAME, "9"), ExitCode.NOT_FOUND, "people-candidates has no version 9, only 1, 2"),
        (("show", NAME, "x"), ExitCode.USAGE, "'x' is no version; give a number, champion or"),
        (("list", "nobody"), ExitCode.NOT_FOUND, "no model 'nobody'; there is people"),
        (("verify", "nobody"), ExitCode.NOT_FOUND, "no model 'nobody'; there is people"),
        (("reconcile", "nobody"), ExitCode.NOT_FOUND, "no model 'nobody'; there is people"),
        (("history", "nobody"), ExitCode.NOT_FOUND, "no model 'nobody'; there is people"),
        (("rollback", "nobody", "--reason", "r"), ExitCode.NOT_FOUND, "no model 'nobody'"),
        (("reject", NAME, "1", "--reason", ""), ExitCode.USAGE, "a decision needs a reason; give"),
        (("history", NAME, "--as-of", "soon"), ExitCode.USAGE, "--as-of 'soon' is no date; for"),
        (("waive", NAME, "1", "id_sim", "--reason", "r"), ExitCode.USAGE, "cannot be waived; the"),
    ],
)
def test_refusals_are_one_line(
    team: Team, arguments: tuple[str, ...], code: ExitCode, line: str
) -> None:
    found, said = team.line(team.ben, *arguments)
    assert (found, line in said) == (code, True), said


def test_a_folder_without_a_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, line = Person({}, capfd).refused("list", "--run", tmp_path)
    assert (code, "no MLflow store at" in line) == (ExitCode.NOT_FOUND, True)
    assert not list(tmp_path.iterdir())


def test_keygen(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    person = Person({}, capfd)
    made = person.models("keygen", tmp_path / "key")
    assert made["UMO_SIGNING_KEY"] == f"file:{tmp_path / 'key'}"
    assert (tmp_path / "key.pub").is_file()
    code, line = person.refused("keygen", tmp_path / "key")
    assert (code, "is there already; name another file" in line) == (ExitCode.USAGE, True)


def test_a_changed_byte_exits_with_5_and_its_name(team: Team) -> None:
    run = team.json(team.anna, "show", NAME, 2)["run"]
    weights = team.out / "artifacts" / run / "artifacts/model/lora.safetensors"
    kept = weights.read_bytes()
    weights.write_bytes(kept[:-1] + b"\xff")
    for extra in ((), ("-o", "json")):
        said = team.ben.umo("models", "verify", NAME, "--run", team.out, *extra)
        assert said.code == ExitCode.DIFFERS
        assert "people-candidates 2: model/lora.safetensors has sha256" in said.out
    weights.write_bytes(kept)
    assert team.json(team.ben, "verify", NAME)["faults"] == []

"""Three people, one model and real servers, by the command line."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from safetensors.numpy import load_file, save_file

from services.mlflow_server import ADMIN, PEOPLE, Registry
from services.people import Person
from services.s3 import S3
from services.small_run import write_run
from umo.errors import ExitCode
from umo.files import MANIFEST, read_manifest, write_manifest
from umo.registry import CHAMPION, PREVIOUS
from umo.steps import register
from umo.steps.layout import Layout

pytestmark = pytest.mark.slow

DENIED, NOT_FOUND, DIFFERS = ExitCode.DENIED, ExitCode.NOT_FOUND, ExitCode.DIFFERS


@dataclass(frozen=True)
class Office:
    """Where three people work on one model."""

    name: str
    servers: Registry
    runs: dict[int, Path]
    """Run folder of each candidate."""
    policy: Path
    admin: Person
    trainer: Person
    reviewer: Person
    promoter: Person
    visitor: Person

    def submit(self, number: int) -> str:
        """The trainer hands a candidate in; digest of the report."""
        data = self.runs[number] / "data"
        answer = self.trainer.models(
            *("submit", self.name, number, "--policy", self.policy),
            *("--data", data / "tune", "--held-out", data / "held-out"),
        )
        return str(answer["report"])

    def approve(self, number: int) -> None:
        """The trainer hands a candidate in, the reviewer approves it."""
        report = self.submit(number)
        self.reviewer.models(
            "approve", self.name, number, "--report", report, "--reason", "faces hold"
        )

    def promote(self, *numbers: int) -> None:
        """Candidates become champion one after the other, as they should."""
        for number in numbers:
            self.approve(number)
            self.promoter.models("promote", self.name, number)

    def client(self, person: Person) -> MlflowClient:
        """MLflow's own client; it acts as whoever is at work."""
        return MlflowClient(person.variables["MLFLOW_TRACKING_URI"])

    def aliases(self) -> dict[str, int]:
        """Candidate by alias, as MLflow shows it to anybody."""
        with self.visitor.at_work():
            client = self.client(self.visitor)
            aliases = client.get_registered_model(self.name).aliases
            return {
                alias: int(client.get_model_version(self.name, number).tags["candidate"])
                for alias, number in aliases.items()
            }

    def object(self, model: str, number: int, path: str) -> str:
        """Where a file of a version is in S3."""
        with self.visitor.at_work():
            client = self.client(self.visitor)
            run = client.get_run(client.get_model_version(model, str(number)).run_id)
        place = run.info.artifact_uri.removeprefix("mlflow-artifacts:")
        return f"{self.servers.artifacts}{place}/{path}"

    def events(self, *kinds: str) -> list[tuple[str, str, int]]:
        """Kind, actor and version of what the ledger has."""
        rows = self.visitor.models("history", self.name)["events"]
        return [(r["kind"], r["actor"], r["version"]) for r in rows if r["kind"] in kinds]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "signing.pem"
    command = "from umo_cli.main import main; main()"
    subprocess.run([sys.executable, "-c", command, "models", "keygen", str(path)], check=True)
    return path


@pytest.fixture
def office(
    registry: Registry,
    keys: Path,
    capfd: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> Office:
    """A model of its own for each test, with two candidates and everybody's rights."""
    name = request.node.originalname.removeprefix("test_").replace("_", "-")
    people = {user: Person(registry.environment(user), capfd) for user in (ADMIN, *PEOPLE)}
    people["trainer"] = people["trainer"].but(UMO_SIGNING_KEY=f"file:{keys}")
    people["promoter"] = people["promoter"].but(UMO_VERIFY_KEY=f"file:{keys}.pub")
    policy = tmp_path / "policy.yaml"
    policy.write_text("items: 8\n")
    roles = [f"--{role}={role}" for role in ("trainer", "reviewer", "promoter")]
    people[ADMIN].models("grants", name, *roles)
    runs = {n: write_run(tmp_path / f"run-{n}", candidate=n / 2).folder for n in (1, 2)}
    for folder in runs.values():
        with people["trainer"].at_work():
            register.run(name, layout=Layout(folder))
    return Office(name=name, servers=registry, runs=runs, policy=policy, **people)


def test_promotion_and_rollback(office: Office) -> None:
    name, trainer, reviewer, promoter = (
        office.name,
        office.trainer,
        office.reviewer,
        office.promoter,
    )
    report = office.submit(1)

    code, line = trainer.refused("approve", name, 1, "--report", report, "--reason", "mine")
    assert (code, "trainer trained or submitted" in line) == (DENIED, True)
    code, line = trainer.refused("promote", name, 1)
    assert (code, "is submitted, not approved" in line) == (DENIED, True)
    code, line = reviewer.refused("approve", name, 1, "--report", "f" * 64, "--reason", "fine")
    assert (code, report in line) == (DIFFERS, True)
    reviewer.models("approve", name, 1, "--report", report, "--reason", "faces hold")

    for person in (trainer, reviewer):
        code, line = person.refused("promote", name, 1)
        assert (code, "MLflow does not let you" in line) == (DENIED, True)
    assert office.aliases() == {}
    refused = office.events("refused")
    assert refused == [
        ("refused", who, 1) for who in ("trainer", "trainer", "reviewer", "trainer", "reviewer")
    ]

    promoter.models("promote", name, 1, "--expected", 0)
    assert office.aliases() == {CHAMPION: 1}
    with trainer.at_work():
        client = office.client(trainer)
        with pytest.raises(MlflowException, match="Permission denied"):
            client.set_registered_model_alias(name, CHAMPION, "1")
        with pytest.raises(MlflowException, match="Permission denied"):
            client.create_model_version(name, source="s3://elsewhere/model")
    assert 'registered-models/alias HTTP/1.1" 403' in office.servers.log.read_text()

    office.approve(2)
    code, line = promoter.refused("promote", name, 2, "--expected", 0)
    assert (code, "you expected nobody" in line) == (DIFFERS, True)
    second = promoter.models("promote", name, 2, "--expected", 1)["event"]
    assert office.aliases() == {CHAMPION: 2, PREVIOUS: 1}

    code, line = trainer.refused("rollback", name, "--reason", "I want mine")
    assert (code, "MLflow does not let you" in line) == (DENIED, True)
    promoter.models("rollback", name, "--reason", "hands are worse")
    assert office.aliases() == {CHAMPION: 1}

    assert promoter.refused("promote", name, 9)[0] == NOT_FOUND
    assert promoter.refused("promote", "nobody", 1)[0] == NOT_FOUND
    decided = ("submitted", "approved", "promoted", "rolled_back")
    assert office.events(*decided) == [
        ("submitted", "trainer", 1),
        ("approved", "reviewer", 1),
        ("promoted", "promoter", 1),
        ("submitted", "trainer", 2),
        ("approved", "reviewer", 2),
        ("promoted", "promoter", 2),
        ("rolled_back", "promoter", 1),
    ]
    then = office.visitor.models("history", name, "--as-of", second["at"])["champion"]
    assert (then["version"], then["decided_by"], then["approved_by"], then["reason"]) == (
        2,
        "promoter",
        "reviewer",
        "faces hold",
    )
    assert promoter.models("verify", name)["faults"] == []
    assert promoter.models("reconcile", name)["drifts"] == []


def test_changed_byte(office: Office, s3: S3) -> None:
    name, promoter = office.name, office.promoter
    office.promote(1)
    for model, path in (
        (f"{name}-candidates", "model/lora.safetensors"),
        (f"{name}-candidates", f"model/{MANIFEST}"),
        (f"{name}-candidates", "review/review.html"),
        (f"{name}-candidates", f"review/{MANIFEST}"),
        (f"{name}-candidates", "evaluation/scores.json"),
        (name, "model/lora.safetensors"),
        (name, f"model/{MANIFEST}"),
    ):
        place = office.object(model, 1, path)
        s3.flip(place)
        said = promoter.umo("models", "verify", name)
        assert (said.code, f"{model} 1: {path}" in said.out) == (DIFFERS, True), said
        s3.flip(place)
    assert promoter.models("verify", name)["faults"] == []


def test_changed_row(office: Office) -> None:
    name, visitor = office.name, office.visitor
    office.approve(1)
    (row,) = [
        row["seq"] for row in visitor.models("history", name)["events"] if row["kind"] == "approved"
    ]
    change = f"UPDATE events SET reason = 'as {{}}' WHERE seq = {row}"
    with sa.create_engine(office.servers.ledger).connect() as connection:
        with pytest.raises(sa.exc.DBAPIError, match="append-only"):
            connection.execute(sa.text(change.format("told")))
        connection.rollback()

        if connection.dialect.name == "sqlite":
            triggers = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
            made = connection.execute(sa.text(triggers)).all()
            for trigger, _ in made:
                connection.execute(sa.text(f"DROP TRIGGER {trigger}"))
            restore = [sql for _, sql in made]
        else:
            connection.execute(sa.text("SET session_replication_role = replica"))
            restore = []
        kept = connection.scalar(sa.text(f"SELECT reason FROM events WHERE seq = {row}"))
        connection.execute(sa.text(change.format("told")))
        connection.commit()

        said = visitor.umo("models", "verify", name)
        assert said.code == DIFFERS
        assert f"row {row} (approved {name} 1 by reviewer) was changed" in said.out

        undo = f"UPDATE events SET reason = :kept WHERE seq = {row}"
        connection.execute(sa.text(undo), {"kept": kept})
        for sql in restore:
            connection.execute(sa.text(sql))
        connection.commit()
    assert visitor.models("verify", name)["faults"] == []


def test_drift(office: Office) -> None:
    name, promoter = office.name, office.promoter
    office.promote(1, 2)
    with office.admin.at_work():
        client = office.client(office.admin)
        copy = client.get_registered_model(name).aliases[PREVIOUS]
        client.set_registered_model_alias(name, CHAMPION, copy)
        client.delete_registered_model_alias(name, PREVIOUS)
        client.create_model_version(name, source="s3://elsewhere/model")

    said = promoter.umo("models", "reconcile", name, "--dry-run", "-o", "json")
    assert said.code == DIFFERS
    assert [drift["what"] for drift in said.json["drifts"]] == [
        "alias previous",
        "alias champion",
        f"{name} 3",
    ]
    assert office.aliases() == {CHAMPION: 1}
    said = office.trainer.umo("models", "reconcile", name)
    assert (said.code, "MLflow does not let you" in said.error) == (DENIED, True)

    said = promoter.umo("models", "reconcile", name, "-o", "json")
    assert said.code == DIFFERS, "a version that the ledger never heard of is left to a person"
    assert [drift["repaired"] for drift in said.json["drifts"]] == [True, True, False]
    assert office.aliases() == {CHAMPION: 2, PREVIOUS: 1}

    with office.admin.at_work():
        client.delete_model_version(name, "3")
        client.delete_model_version(name, copy)
    said = promoter.umo("models", "reconcile", name, "-o", "json")
    assert said.code == 0
    assert office.aliases() == {CHAMPION: 2, PREVIOUS: 1}
    assert promoter.models("reconcile", name)["drifts"] == []
    assert promoter.models("verify", name)["faults"] == []


def test_other_weights_under_an_approval(office: Office, tmp_path: Path) -> None:
    name, trainer, promoter = office.name, office.trainer, office.promoter
    office.approve(1)
    with trainer.at_work():
        client = office.client(trainer)
        approved, other = (client.get_model_version(f"{name}-candidates", n) for n in "12")
        client.set_model_version_tag(other.name, other.version, "digest", approved.tags["digest"])
        client.set_model_version_tag(
            other.name, other.version, "manifest", approved.tags["manifest"]
        )
    assert promoter.refused("promote", name, 2)[0] == DIFFERS

    forged = tmp_path / "forged"
    forged.mkdir()
    weights = load_file(office.runs[1] / "train/lora.safetensors")
    save_file({key: value + 1 for key, value in weights.items()}, forged / "lora.safetensors")
    facts = read_manifest(office.runs[1] / "train")
    write_manifest(forged, {key: facts[key] for key in facts if key not in ("digest", "files")})
    with trainer.at_work():
        client.log_artifacts(approved.run_id, str(forged), "model")
    code, line = promoter.refused("promote", name, 1)
    assert (code, f"{name}-candidates 1: model/{MANIFEST} has sha256" in line) == (DIFFERS, True)
    assert office.aliases() == {}
    assert [event[1] for event in office.events("refused")] == ["promoter"] * 2


def test_only_trusted_signatures(office: Office, tmp_path: Path) -> None:
    office.approve(1)
    office.admin.models("keygen", tmp_path / "other.pem")
    promoter = office.promoter.but(UMO_VERIFY_KEY=f"file:{tmp_path}/other.pem.pub")
    code, line = promoter.refused("promote", office.name, 1)
    assert (code in (DENIED, DIFFERS), "was signed by key" in line) == (True, True)
    office.promoter.models("promote", office.name, 1)
    assert office.aliases() == {CHAMPION: 1}

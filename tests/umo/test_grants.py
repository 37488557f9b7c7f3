from collections.abc import Iterator

import pytest

from services.mlflow_server import ADMIN, mlflow_server
from services.mlflow_server import Registry as Servers
from umo.errors import DeniedError, NotFoundError, UsageError
from umo.grants import apply, plan
from umo.registry import Registry, candidates
from umo.store import TRACKING, Store
from umo.tracking import account, actor

PEOPLE = {"trainers": ["trainer"], "reviewers": ["reviewer"], "promoters": ["promoter"]}


def rights(user: str, name: str = "people", **people: list[str]) -> dict[str, str]:
    return {
        grant.thing: grant.right for grant in plan(name, **PEOPLE | people) if grant.user == user
    }


def test_who_may_do_what() -> None:
    assert rights("trainer") == {
        "people-candidates": "EDIT",
        "people": "READ",
        "umo": "EDIT",
        "people-production": "READ",
    }
    assert set(rights("reviewer").values()) == {"READ"}
    assert rights("promoter") == {
        "people-candidates": "READ",
        "people": "MANAGE",
        "umo": "READ",
        "people-production": "EDIT",
    }


def test_a_reviewer_may_promote_but_a_trainer_neither() -> None:
    assert rights("promoter", reviewers=["promoter"]) == rights("promoter")
    for role in ("reviewers", "promoters"):
        with pytest.raises(UsageError, match="trainer cannot be trainer and"):
            plan("people", **PEOPLE | {role: ["trainer"]})
    with pytest.raises(UsageError, match="nobody to grant anything; name --trainer"):
        plan("people", trainers=[], reviewers=[], promoters=[])


def test_without_accounts_nobody_has_rights(tmp_path_factory: pytest.TempPathFactory) -> None:
    registry = Registry(Store.local(tmp_path_factory.mktemp("store")))
    with pytest.raises(UsageError, match=r"mlflow\.db has no accounts, so nobody has rights there"):
        apply(registry, plan("people", **PEOPLE))


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    folder = tmp_path_factory.mktemp("servers")
    with mlflow_server(
        folder,
        store=f"sqlite:///{folder / 'mlflow.db'}",
        users=f"sqlite:///{folder / 'users.db'}",
        ledger=f"sqlite:///{folder / 'ledger.db'}",
        artifacts=str(folder / "artifacts"),
        environment={},
    ) as registry:
        yield registry


def be(user: str, servers: Servers, monkeypatch: pytest.MonkeyPatch) -> Registry:
    for name, value in servers.environment(user).items():
        monkeypatch.setenv(name, value)
    return Registry(Store(tracking=servers.environment(user)[TRACKING], ledger=servers.ledger))


def test_rights_on_a_real_server(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "granted"
    admin = be(ADMIN, servers, monkeypatch)
    planned = plan(name, **PEOPLE)
    looked = apply(admin, planned, dry_run=True)
    assert all(grant.changed for grant in looked if grant.thing.startswith(name))
    assert not admin.has_model(name)

    assert [grant.right for grant in apply(admin, planned)] == [g.right for g in planned]
    assert not any(grant.changed for grant in apply(admin, planned))

    trainer = be("trainer", servers, monkeypatch)
    trainer.client.create_model_version(candidates(name), source="s3://nowhere/x")
    with pytest.raises(DeniedError, match="MLflow does not let you move the alias champion of gra"):
        trainer.set_alias(name, "champion", 1)
    with pytest.raises(DeniedError, match="MLflow does not let you manage users and"):
        apply(trainer, planned)


def test_unknown_users_are_named(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    admin = be(ADMIN, servers, monkeypatch)
    with pytest.raises(NotFoundError, match="nobody"):
        apply(admin, plan("granted", trainers=["nobody"], reviewers=[], promoters=[]))


def test_an_admin_cannot_be_held_to_a_role(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = be(ADMIN, servers, monkeypatch)
    with pytest.raises(UsageError, match="admin is an admin of MLflow and may do everything; name"):
        apply(admin, plan("granted", trainers=[ADMIN], reviewers=[], promoters=[]))


def test_mlflow_says_who_acts(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    store = be("reviewer", servers, monkeypatch).store
    monkeypatch.setenv("UMO_ACTOR", "somebody else")
    assert actor(store) == account(store) == "reviewer"
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "wrong")
    with pytest.raises(DeniedError, match=r"MLflow does not know you .*; set MLFLOW_TRACKING_USER"):
        actor(store)

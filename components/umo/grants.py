"""Grants: who may do what in an MLflow with basic-auth, so that its rights match the review.

Trainers write candidates and may only read what is promoted; the promoter alone writes the model
and its files, and needs MANAGE there because MLflow asks it of whoever removes an alias; reviewers
read, for what they decide goes to the ledger.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from umo.errors import DeniedError, NotFoundError, UsageError
from umo.registry import Registry, candidates, production
from umo.tracking import EXPERIMENT, account, call, mlflow_errors

READ, EDIT, MANAGE = "READ", "EDIT", "MANAGE"
MODEL_TYPE, EXPERIMENT_TYPE = "registered_model", "experiment"
RIGHTS = "/api/3.0/mlflow/users/permissions"
USER = "/api/2.0/mlflow/users/get"


@dataclass(frozen=True, kw_only=True)
class Grant:
    """A right that one user should have on one thing."""

    user: str
    role: str
    """`trainer`, `reviewer` or `promoter`."""
    kind: str
    """MLflow's type of the thing, `registered_model` or `experiment`."""
    thing: str
    """Its name."""
    right: str
    """`READ`, `EDIT` or `MANAGE`."""
    found: str = ""
    """Right that the user had."""

    @property
    def changed(self) -> bool:
        """Whether the user had another right."""
        return self.found != self.right


def plan(
    name: str, *, trainers: Iterable[str], reviewers: Iterable[str], promoters: Iterable[str]
) -> list[Grant]:
    """The rights that people need for the model `name`.

    Raises:
        UsageError: Nobody is named, or somebody is to do two things that need two people.
    """
    roles = {"trainer": set(trainers), "reviewer": set(reviewers), "promoter": set(promoters)}
    if not any(roles.values()):
        raise UsageError("nobody to grant anything", hint="name --trainer, --reviewer, --promoter")
    for first, second in (("trainer", "reviewer"), ("trainer", "promoter")):
        both = sorted(roles[first] & roles[second])
        if both:
            raise UsageError(f"{both[0]} cannot be {first} and {second} of {name}")
    rights = {
        (MODEL_TYPE, candidates(name)): {"trainer": EDIT},
        (MODEL_TYPE, name): {"promoter": MANAGE},
        (EXPERIMENT_TYPE, EXPERIMENT): {"trainer": EDIT},
        (EXPERIMENT_TYPE, production(name)): {"promoter": EDIT},
    }
    wanted: dict[tuple[str, str, str], Grant] = {}
    for role, users in roles.items():
        for user in sorted(users):
            for (kind, thing), special in rights.items():
                grant = Grant(
                    user=user, role=role, kind=kind, thing=thing, right=special.get(role, READ)
                )
                if grant.right != READ or (user, kind, thing) not in wanted:
                    wanted[user, kind, thing] = grant
    return list(wanted.values())


def apply(registry: Registry, grants: Iterable[Grant], *, dry_run: bool = False) -> list[Grant]:
    """Make models and experiments, and give every user exactly the planned right on them.

    Args:
        registry: An MLflow server with basic-auth, as its admin.
        grants: What is planned.
        dry_run: Only look; what is not there yet is not made.

    Returns:
        The grants, each with what was found.

    Raises:
        DeniedError: MLflow does not let this user, or a user keeps another right than planned.
        NotFoundError: There is no such user.
        UsageError: MLflow is no server with accounts, or a user is its admin.
    """
    if account(registry.store) is None:
        raise UsageError(
            f"MLflow at {registry.store.shown} has no accounts, so nobody has rights there",
            hint="start its server with --app-name basic-auth",
        )
    grants = list(grants)
    for user in dict.fromkeys(grant.user for grant in grants):
        if _call(registry, "GET", USER, params={"username": user})["user"]["is_admin"]:
            raise UsageError(
                f"{user} is an admin of MLflow and may do everything",
                hint="name an account without that right",
            )
    done = []
    for grant in grants:
        thing = _thing(registry, grant, make=not dry_run)
        found = _right(registry, grant, thing) if thing else ""
        done.append(replace(grant, found=found))
        if found == grant.right or dry_run:
            continue
        about = {"username": grant.user, "resource_type": grant.kind, "resource_id": thing}
        with suppress(NotFoundError):
            _call(registry, "POST", f"{RIGHTS}/revoke", json=about)
        _call(registry, "POST", f"{RIGHTS}/grant", json={**about, "permission": grant.right})
        if (kept := _right(registry, grant, thing)) != grant.right:
            raise DeniedError(
                f"{grant.user} keeps {kept} on {grant.thing}, planned is {grant.right}",
                hint="has it a role, or is MLflow's default_permission too wide?",
            )
    return done


def _thing(registry: Registry, grant: Grant, *, make: bool) -> str:
    """MLflow's id of what a grant is about; nothing if it is not there."""
    if grant.kind == EXPERIMENT_TYPE:
        return registry.experiment(grant.thing, make=make)
    if make:
        registry.ensure_model(grant.thing)
    return grant.thing if registry.has_model(grant.thing) else ""


def _right(registry: Registry, grant: Grant, thing: str) -> str:
    about = {"username": grant.user, "resource_type": grant.kind, "resource_id": thing}
    return str(_call(registry, "GET", f"{RIGHTS}/get", params=about)["permission"])


def _call(registry: Registry, method: str, endpoint: str, **arguments: Any) -> dict[str, Any]:
    with mlflow_errors("manage users and their rights"):
        return call(registry.store, method, endpoint, **arguments)

"""The steps of a change of champion; each does nothing when it was done before."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from umo.errors import DiffersError, NotFoundError
from umo.ledger import Event, Ledger
from umo.ledger.history import Reign
from umo.promotion.case import REVIEW, Case
from umo.promotion.verify import candidate_faults, folder_faults, model_faults
from umo.registry import (
    ARTIFACTS,
    CHALLENGER,
    CHAMPION,
    INTENT_TAG,
    PREVIOUS,
    Registry,
    Version,
    production,
)
from umo.tracking import Run


@dataclass(frozen=True, kw_only=True)
class Change:
    """A change under way: what its steps need."""

    registry: Registry
    ledger: Ledger
    intent: Event
    """What is meant; `details` has `action`, `manifest` and `review` (sha256 of both manifests),
    `approver`, and the weights of `previous` afterwards."""
    keys: str
    """Reference of the public keys that must have signed; nothing if none must."""

    @property
    def action(self) -> str:
        """Kind of the row that will close it, a key of `STEPS`."""
        return str(self.intent.details["action"])

    @property
    def name(self) -> str:
        """The model."""
        return self.intent.model

    @property
    def copy(self) -> Version | None:
        """The version of the model with these weights, once it was copied."""
        return self.registry.find(self.name, self.intent.weights)


def verify_candidate(change: Change) -> None:
    """Hash every file of the candidate, its evaluation and its report again."""
    intent = change.intent
    case = Case.open(change.registry, change.ledger, intent.model, intent.version)
    refuse_faults(candidate_faults(change.registry, case, keys=change.keys))


def copy(change: Change) -> None:
    """Copy the bytes of model and report to a run that only the promoter writes."""
    registry, intent = change.registry, change.intent
    source = registry.candidate(intent.model, intent.version)
    run = Run.open(
        registry.store,
        name=f"{intent.model} {intent.weights[:12]}",
        identity=intent.weights,
        experiment=production(intent.model),
    )
    with registry.files(source.run, REVIEW) as review:
        refuse_faults(folder_faults(review, REVIEW, recorded=[intent.details["review"]]))
        registry.add_files(run.id, review, REVIEW)
    if change.copy:
        return
    with registry.files(source.run) as model:
        recorded = [intent.details["manifest"]]
        refuse_faults(folder_faults(model, ARTIFACTS, recorded=recorded, keys=change.keys))
        registry.register(
            run,
            model,
            model=intent.model,
            tags={INTENT_TAG: intent.hash, "candidate": str(intent.version)},
            description=f"Candidate {intent.version}, approved by {intent.details['approver']}: "
            f"{intent.reason}",
        )
    run.finish()


def verify_copy(change: Change) -> None:
    """Hash every file of the copy again."""
    version, recorded = change.copy, [change.intent.details["manifest"]]
    if version is None:
        raise _missing(change.name, change.intent.weights)
    refuse_faults(model_faults(change.registry, version, recorded=recorded, keys=change.keys))


def challenge(change: Change) -> None:
    """Point `challenger` at the copy."""
    move(change.registry, change.name, CHALLENGER, change.intent.weights)


def keep_previous(change: Change) -> None:
    """Point `previous` at the version that a roll-back would return to."""
    move(change.registry, change.name, PREVIOUS, change.intent.details["previous"])


def crown(change: Change) -> None:
    """Point `champion` at the copy: from here on the change is completed, not undone."""
    move(change.registry, change.name, CHAMPION, change.intent.weights)


def end_challenge(change: Change) -> None:
    """Remove `challenger`."""
    move(change.registry, change.name, CHALLENGER, "")


Step = Callable[[Change], None]
PROMOTION: tuple[Step, ...] = (
    verify_candidate,
    copy,
    verify_copy,
    challenge,
    keep_previous,
    crown,
    end_challenge,
)
ROLLBACK: tuple[Step, ...] = (verify_copy, keep_previous, crown)
STEPS: Mapping[str, tuple[Step, ...]] = {"promoted": PROMOTION, "rolled_back": ROLLBACK}
"""The steps between an intention and the row that closes it."""


def wanted_aliases(reign: Reign) -> dict[str, str]:
    """Weights that each alias points at when nothing is under way; nothing for no alias."""
    previous = reign.previous.weights if reign.previous else ""
    return {CHALLENGER: "", PREVIOUS: previous, CHAMPION: reign.weights}


def move(registry: Registry, model: str, alias: str, weights: str) -> None:
    """Point an alias at the version with these weights, or remove it; nothing if it is so.

    Raises:
        DeniedError: MLflow does not let this user.
        NotFoundError: No version of the model has these weights.
    """
    now = registry.aliases(model).get(alias)
    if not weights:
        if now is not None:
            registry.drop_alias(model, alias)
        return
    version = registry.find(model, weights)
    if version is None:
        raise _missing(model, weights)
    if now != version.version:
        registry.set_alias(model, alias, version.version)


def refuse_faults(faults: list[str]) -> None:
    """Refuse what is not as it was recorded.

    Raises:
        DiffersError: There is a fault; it names the first.
    """
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise DiffersError(
            f"{faults[0]}{more}", hint="do not use it; `umo models verify` names everything"
        )


def _missing(model: str, weights: str) -> NotFoundError:
    return NotFoundError(
        f"{model} has no version with the weights {weights}",
        hint=f"run `umo models reconcile {model}`",
    )

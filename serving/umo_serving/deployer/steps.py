"""The steps of a deployment; each does nothing when it was done before."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from umo.errors import DeniedError, DiffersError, NotFoundError, UmoError
from umo.files import MANIFEST, read_manifest, sha256
from umo.ledger import Ledger
from umo.promotion.deployment import deployed
from umo.promotion.steps import refuse_faults
from umo.promotion.verify import folder_faults
from umo.registry import ARTIFACTS, Registry
from umo_serving import probe as probes
from umo_serving import routes
from umo_serving.admin import Admin
from umo_serving.client.target import MODEL
from umo_serving.deployer.policy import Policy
from umo_serving.deployer.trial import Counts, counts, fault
from umo_serving.deployer.wanted import Wanted
from umo_serving.folder import Folder
from umo_serving.routes import Routes, Target

READY = "READY"
FAILURES = 3
"""So many failed calls of a challenger are looked at before there are enough calls."""
LOOK_SECONDS = 1.0
"""Between two looks at a trial."""


class RefusedError(DeniedError):
    """A version that must not answer; the same version is not tried again."""


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """What the steps need."""

    folder: Folder
    """Of the server."""
    registry: Registry
    """Where the files are."""
    ledger: Ledger
    """Where it is recorded."""
    wanted: Wanted
    """What to serve."""
    policy: Policy
    """How careful to be."""
    actor: str
    """Who deploys."""
    keys: str
    """Reference of the public keys that must have signed; nothing if none must."""
    say: Callable[[str], None]
    """Takes a line about each step."""
    stop: threading.Event
    """Set when the deployer has to end; a trial then stays as it is."""

    @property
    def target(self) -> Target:
        """What the routes call the version."""
        return self.wanted.target

    @property
    def admin(self) -> Admin:
        """The server's admin interface."""
        return Admin(self.folder.settings().admin, self.folder.admin_key())

    def routes(self) -> Routes | None:
        """The routes now; None before the first."""
        try:
            return routes.read(self.folder.repository)
        except UmoError as error:
            if error.retryable:
                return None
            raise

    def route(self, changed: Routes) -> None:
        """Replace the routes."""
        routes.write(self.folder.repository, changed)


def stage(deployment: Deployment) -> None:
    """Download the version, verify every byte of it and put it beside the others.

    Raises:
        DiffersError: A byte is not the one that was promoted, or nobody named its base.
        UmoError: It cannot be read or written now.
    """
    wanted = deployment.wanted
    staged = deployment.folder.repository / deployment.target.model / "model"
    if _is_staged(staged, wanted.manifest):
        return
    deployment.say(f"staging {wanted.version.title}")
    try:
        with deployment.registry.files(wanted.version.run) as files:
            recorded = [wanted.manifest]
            refuse_faults(folder_faults(files, ARTIFACTS, recorded=recorded, keys=deployment.keys))
            deployment.folder.stage(
                files,
                version=deployment.target.version,
                bases=deployment.policy.bases,
                pack=deployment.policy.pack,
                weights=deployment.policy.weights,
            )
    except OSError as error:
        raise UmoError(f"cannot download {wanted.version.title}: {error}") from error


def load(deployment: Deployment) -> None:
    """Load the version into Triton, beside those that answer."""
    if deployment.admin.states().get(deployment.target.model) != READY:
        deployment.say(f"loading {deployment.target.model}")
        deployment.admin.load(deployment.target.model)


def probe(deployment: Deployment) -> None:
    """Let the version paint two people, and see that it is they.

    Raises:
        RefusedError: It is another version than the one that was promoted, or it does not paint
            who was asked for.
        UmoError: It does not answer.
    """
    policy, target = deployment.policy, deployment.target
    settings = deployment.folder.settings()
    sign = probes.ask(settings, target.model, steps=policy.steps, judge=True)
    deployment.say(f"{target.model} paints in {sign.seconds:.2f} s, score {sign.score:.3f}")
    if (sign.version, sign.digest) != (target.version, target.digest):
        raise RefusedError(
            f"{target.model} says it is version {sign.version} with weights {sign.digest}, "
            f"promoted is version {target.version} with {target.digest}"
        )
    if sign.score < policy.score:
        raise RefusedError(
            f"{deployment.wanted.version.title} painted two people with an identity score of "
            f"{sign.score:.3f}, at least {policy.score:.3f} is asked for"
        )


def try_out(deployment: Deployment) -> None:
    """Give the version a growing share of the calls while it is no worse than the champion.

    A version that comes back by a roll-back answers all calls at once.

    Raises:
        RefusedError: It is worse.
    """
    now = deployment.routes()
    if now is None or deployment.target == now.champion or deployment.wanted.returns:
        return
    settings, policy = deployment.folder.settings(), deployment.policy
    resumed = now.share if now.challenger == deployment.target else 0.0
    for share in (share for share in policy.shares[:-1] if share >= resumed):
        deployment.say(f"{deployment.target.model} answers {share:.0%} of the calls")
        deployment.route(Routes(champion=now.champion, challenger=deployment.target, share=share))
        pair = (now.champion.version, deployment.target.version)
        before = [counts(settings, version) for version in pair]
        end = time.monotonic() + policy.seconds
        while True:
            champion, challenger = (
                counts(settings, version).since(start)
                for version, start in zip(pair, before, strict=True)
            )
            _refuse_worse(deployment, champion, challenger)
            if time.monotonic() >= end and challenger.calls >= policy.calls:
                break
            if deployment.stop.wait(LOOK_SECONDS):
                raise UmoError("the deployer was stopped in a trial", retryable=True)


def crown(deployment: Deployment) -> None:
    """Let the version answer every call; the one before stays loaded."""
    now = deployment.routes()
    if now is None:
        deployment.route(Routes(champion=deployment.target))
    elif now.champion != deployment.target:
        deployment.route(Routes(champion=deployment.target, previous=now.champion))


def confirm(deployment: Deployment) -> None:
    """See that the server answers with the version, else return to the one before.

    Raises:
        RefusedError: It does not.
    """
    target = deployment.target
    try:
        sign = probes.ask(deployment.folder.settings(), MODEL)
    except UmoError as error:
        raise RefusedError(f"the server does not answer with {target.model}: {error}") from error
    if sign.digest != target.digest:
        raise RefusedError(f"the server answers with {sign.digest}, routed is {target.digest}")


def record(deployment: Deployment) -> None:
    """Write `deployed` to the ledger, once for each decision."""
    wanted = deployment.wanted
    if deployed(deployment.ledger, wanted.name, wanted.decision):
        return
    earlier = deployment.ledger.events(wanted.name, kind="deployed")
    deployment.ledger.append(
        "deployed",
        actor=deployment.actor,
        model=wanted.name,
        version=wanted.candidate,
        weights=wanted.version.digest,
        previous=earlier[-1].weights if earlier else "",
        details={"decision": wanted.decision, "served": wanted.version.version},
    )


def retire(deployment: Deployment) -> None:
    """Unload and remove what answers no more; a champion before stays on the disk."""
    now = deployment.routes()
    if now is None:
        return
    if now.previous:
        deployment.route(replace(now, previous=None, challenger=None, share=0.0))
    kept = {target.model for target in (now.champion, now.challenger) if target}
    for model, state in deployment.admin.states().items():
        if model.startswith(routes.model_name("")) and model not in kept and state == READY:
            deployment.say(f"unloading {model}")
            deployment.admin.unload(model)
    kept |= {now.previous.model} if now.previous else set()
    for version in deployment.folder.versions():
        if routes.model_name(version) not in kept:
            deployment.folder.remove(version)


def abandon(deployment: Deployment) -> None:
    """Let the version answer no call, and unload it; whoever answered before does again."""
    now = deployment.routes()
    if now is None:
        return
    target = deployment.target
    if now.champion == target and now.previous:
        deployment.route(Routes(champion=now.previous))
    elif now.challenger == target:
        deployment.route(Routes(champion=now.champion))
    elif now.champion == target:
        return
    deployment.admin.unload(target.model)


Step = Callable[[Deployment], None]
STEPS: tuple[Step, ...] = (stage, load, probe, try_out, crown, confirm, record, retire)
"""From a decision to the version that answers."""


def _is_staged(model: Path, manifest: str) -> bool:
    try:
        read_manifest(model, verify=True)
    except (DiffersError, NotFoundError):
        return False
    return sha256(model / MANIFEST) == manifest


def _refuse_worse(deployment: Deployment, champion: Counts, challenger: Counts) -> None:
    """Stop a trial that has seen enough, or failures at once."""
    if challenger.calls < deployment.policy.calls and challenger.failed < FAILURES:
        return
    if reason := fault(champion, challenger, deployment.policy):
        raise RefusedError(f"{deployment.wanted.version.title} was on trial: {reason}")

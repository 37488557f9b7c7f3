"""Follow the champion: look, deploy what is new, look again."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from umo import signing
from umo.errors import DeniedError, UmoError, UsageError
from umo.files import exclusive
from umo.ledger import Ledger
from umo.promotion.deployment import ACTION, deployed, refusal
from umo.registry import Registry
from umo.tracking import actor
from umo_serving.deployer import steps
from umo_serving.deployer.policy import Policy
from umo_serving.deployer.steps import Deployment, RefusedError
from umo_serving.deployer.wanted import Wanted, wanted
from umo_serving.folder import Folder

LONGEST_PAUSE = 15.0
"""Seconds between two looks while they fail."""
GLANCE_SECONDS = 1.0
"""Between two glances at the number of the ledger's rows."""
UNKNOWN = -1
"""Number of rows of a ledger that nobody has seen, or that cannot be reached."""


class Deployer:
    """Makes the server of a folder answer with the champion of a model.

    Args:
        folder: Of the server; it need not run yet.
        registry: MLflow.
        ledger: What was decided.
        name: Model name.
        policy: How careful to be.
        say: Takes a line about each thing that happens.
    """

    def __init__(
        self,
        folder: Folder,
        registry: Registry,
        ledger: Ledger,
        name: str,
        *,
        policy: Policy | None = None,
        say: Callable[[str], None] = print,
    ) -> None:
        self._folder = folder
        self._registry = registry
        self._ledger = ledger
        self._name = name
        self._policy = policy or Policy()
        self._say = say
        self._said = ""
        self._stop = threading.Event()

    def follow(self, every: float) -> None:
        """Deploy every new champion until `stop`; what fails is tried again, later and later.

        Args:
            every: Most seconds between two looks; a new row of the ledger is followed at once.
        """
        with self._alone():
            pause, known = every, UNKNOWN
            while not self._wait(pause, known):
                known = self._rows()
                try:
                    self._deploy()
                    pause = every
                except UmoError as error:
                    self._say_once(str(error))
                    pause = min(2 * pause, max(LONGEST_PAUSE, every))

    def once(self) -> Wanted | None:
        """Deploy the champion unless it answers already.

        Returns:
            What is served now; None if the model has no champion.

        Raises:
            DeniedError: It was refused.
            UmoError: It could not be deployed; the server answers as before.
        """
        with self._alone():
            return self._deploy()

    def stop(self) -> None:
        """End `follow` after the step under way."""
        self._stop.set()

    def _deploy(self) -> Wanted | None:
        found = wanted(self._registry, self._ledger, self._name)
        if found is None:
            self._say_once(f"{self._name} has no champion yet")
            return None
        if refused := refusal(self._ledger, self._name, found.decision):
            raise DeniedError(
                f"{found.version.title} was refused: {refused.reason}",
                hint=f"go back with `umo models rollback {self._name}`, or promote another",
            )
        deployment = Deployment(
            folder=self._folder,
            registry=self._registry,
            ledger=self._ledger,
            wanted=found,
            policy=self._policy,
            actor=actor(self._registry.store),
            keys=os.environ.get(signing.VERIFY_KEY, ""),
            say=self._say,
            stop=self._stop,
        )
        if self._is_done(deployment):
            return found
        self._said = ""
        try:
            for step in steps.STEPS:
                step(deployment)
        except RefusedError as error:
            steps.abandon(deployment)
            self._refuse(deployment, error)
            raise
        self._say(f"{found.version.title} answers")
        return found

    def _is_done(self, deployment: Deployment) -> bool:
        now = deployment.routes()
        return (
            now is not None
            and now.targets() == [deployment.target]
            and deployed(self._ledger, self._name, deployment.wanted.decision) is not None
        )

    def _refuse(self, deployment: Deployment, error: RefusedError) -> None:
        found = deployment.wanted
        self._ledger.append(
            "refused",
            actor=deployment.actor,
            model=found.name,
            version=found.candidate,
            weights=found.version.digest,
            reason=error.message,
            details={"action": ACTION, "decision": found.decision},
        )

    def _wait(self, seconds: float, known: int) -> bool:
        """Wait while the ledger has `known` rows, `seconds` at most; whether to end."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and self._rows() == known:
            if self._stop.wait(min(left, GLANCE_SECONDS)):
                return True
        return self._stop.is_set()

    def _rows(self) -> int:
        try:
            return self._ledger.rows()
        except UmoError:
            return UNKNOWN

    def _say_once(self, line: str) -> None:
        if line != self._said:
            self._say(line)
        self._said = line

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Be the only deployer of this folder.

        Raises:
            UsageError: There is another.
        """
        self._folder.path.mkdir(parents=True, exist_ok=True)
        refusal = UsageError(
            f"another deployer is at work in {self._folder.path}", hint="stop it first"
        )
        with exclusive(self._folder.path / "deployer.lock", refusal):
            yield

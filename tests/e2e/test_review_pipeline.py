"""The promotion pipeline by kfp's local runner: it waits for a reviewer, then promotes."""

import threading
import time
from pathlib import Path

import pytest

from services.small_run import write_run
from umo.errors import ExitCode, UmoError
from umo.ledger import Ledger
from umo.promotion import approve
from umo.registry import CHAMPION, Registry
from umo.review.policy import load_policy
from umo.steps import register
from umo.steps.layout import Layout
from umo.store import Store
from umo_cli.main import execute
from umo_pipelines.submit import promote_local

pytestmark = pytest.mark.slow

NAME = "piped"


def test_pipeline_waits_for_the_reviewer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    out = write_run(tmp_path / "run").folder
    store = Store.local(out)
    monkeypatch.setenv("UMO_ACTOR", "trainer")
    register.run(NAME, layout=Layout(out))
    registry, ledger = Registry(store), Ledger(store.ledger)
    policy = tmp_path / "policy.yaml"
    policy.write_text("items: 8\n")

    monkeypatch.setenv("UMO_ACTOR", "service")
    with pytest.raises(UmoError, match=r"^wait for approval: nobody decided on piped 1") as late:
        promote_local(NAME, 1, out, policy=load_policy(policy), hours=0.0)
    assert (late.value.exit_code, late.value.retryable) == (ExitCode.INTERRUPTED, True)
    assert ledger.champion(NAME) is None

    def review() -> None:
        while "wait for approval: started" not in "".join(seen):
            seen.append(capfd.readouterr().err)
            time.sleep(0.1)
        (submitted,) = ledger.events(NAME, kind="submitted")
        approve(
            *(registry, ledger, NAME, 1),
            actor="reviewer",
            report=submitted.report,
            reason="faces hold",
        )

    seen: list[str] = []
    reviewer = threading.Thread(target=review)
    reviewer.start()
    command = ["models", "release", NAME, "1", "--out", out, "--policy", policy, "-o", "json"]
    assert execute([str(part) for part in command]) == ExitCode.OK
    reviewer.join()
    printed = capfd.readouterr()
    seen.append(printed.err)

    said = "".join(seen)
    assert "submit: already there, reused" in said
    assert "promote: done in" in said
    champion = ledger.champion(NAME)
    assert (champion.actor, champion.details["approver"]) == ("service", "reviewer")
    assert registry.aliases(NAME) == {CHAMPION: 1}
    assert ledger.verify() == []

"""Each architecture, tiny and untrained, from the data to a picture of a real tritonserver."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from services.bases import save_base, small_run, tiny_flux, tiny_flux2
from services.candidates import PROMOTER, REVIEWER, TRAINER
from services.candidates import submit as hand_in
from services.triton import Triton, empty_server
from umo.bases import load_base
from umo.bases.omnigen2_tiny import tiny as tiny_omnigen2
from umo.errors import DiffersError
from umo.files import read_manifest, sha256
from umo.ledger import Ledger
from umo.promotion import approve, promote
from umo.promotion.submit import GateError, submit
from umo.registry import CHAMPION, Registry
from umo.review.policy import load_policy
from umo.steps.layout import Layout
from umo.store import Store
from umo_pipelines.submit import run_local
from umo_serving import routes
from umo_serving.client import Client
from umo_serving.deployer import Deployer, Policy
from umo_serving.probe import PICTURES

pytestmark = pytest.mark.slow

NAME = "tiny"
PEOPLE = sorted(PICTURES.glob("*.png"))
UNTRAINED = -1.0
"""Least identity score of a base that paints nobody."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    with empty_server(tmp_path_factory.mktemp("every-base")) as made:
        yield made


@pytest.mark.parametrize(
    "make", [tiny_flux, tiny_flux2, tiny_omnigen2], ids=["flux", "flux2", "omnigen2"]
)
def test_from_data_to_a_served_picture(
    make: Callable[[int], Any], server: Triton, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, out = save_base(tmp_path / "base", make), tmp_path / "run"
    monkeypatch.setenv("UMO_ACTOR", TRAINER)
    done = run_local(small_run(base), out, progress=False)
    assert (done["model"], done["version"]) == (f"{NAME}-candidates", 1)
    assert done["digest"] == sha256(out / "train/lora.safetensors")
    trained = read_manifest(out / "train", verify=True)
    assert trained["base"]["digest"] == read_manifest(base)["digest"]
    load_base(str(base)).load_lora(out / "train/lora.safetensors")
    last = json.loads((out / "train/metrics.jsonl").read_text().splitlines()[-1])
    assert last["grad_norm"] > 0
    assert done["base"]["faces_expected"] == done["tuned"]["faces_expected"] > 0

    registry, ledger = Registry(Store.local(out)), Ledger(Store.local(out).ledger)
    with pytest.raises(GateError, match="fails the gate") as judged:
        submit(
            registry,
            ledger,
            NAME,
            1,
            actor=TRAINER,
            policy=load_policy(),
            data=Layout(out).data("tune"),
            held_out=Layout(out).data("held-out"),
            base=base,
            dry_run=True,
        )
    verdicts = {verdict.gate: verdict for verdict in judged.value.submission.verdicts}
    assert verdicts["base_licence"].passed
    assert not verdicts["id_sim"].passed
    report = hand_in(registry, ledger, NAME, 1, tmp_path)
    approve(registry, ledger, NAME, 1, actor=REVIEWER, report=report, reason="a trial")
    event = promote(registry, ledger, NAME, 1, actor=PROMOTER)
    assert event
    assert registry.aliases(NAME) == {CHAMPION: 1}

    (server.folder.repository / routes.FILE).unlink(missing_ok=True)
    for version in server.folder.versions():
        server.admin.unload(routes.model_name(version))
        server.folder.remove(version)
    with pytest.raises(DiffersError, match=f"tuned on base {trained['base']['digest']}"):
        Deployer(server.folder, registry, ledger, NAME, policy=Policy()).once()
    policy = Policy(bases=("embedded", str(base)), steps=1, score=UNTRAINED)
    served = Deployer(server.folder, registry, ledger, NAME, policy=policy).once()
    assert served
    assert served.version.digest == done["digest"]
    with Client(server.http) as client:
        painted = client.generate("Two people", PEOPLE, seed=1, steps=2, width=96, height=64)
        again = client.generate("Two people", PEOPLE, seed=1, steps=2, width=96, height=64)
    assert (painted[0].size, painted.model_digest) == ((96, 64), done["digest"])
    assert painted[0].tobytes() == again[0].tobytes()

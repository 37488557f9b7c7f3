import io
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from services.bases import tiny_flux, tiny_flux2
from umo.bases.omnigen2_tiny import tiny as tiny_omnigen2
from umo.errors import DeniedError, DiffersError, UsageError
from umo.faces.packs import FacePack
from umo.files import write_manifest
from umo.signing import VERIFY_KEY, keygen, sign
from umo.training.rollout import sample
from umo_serving.engine import Engine
from umo_serving.folder import Weights
from umo_serving.pictures import decode
from umo_serving.request import CancelledError, Progress, Request
from umo_serving.steady import steady

from .conftest import change_manifest, tuned

PROMPT = "Two people side by side in a park"


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def test_paints_what_evaluation_paints(engine: Engine, people: Sequence[bytes]) -> None:
    reply = engine.generate(Request(prompt=PROMPT, references=people[:2], seed=5, steps=4))

    model = tuned()
    tensors = [
        torch.from_numpy(np.array(decode(one, name="it"))).permute(2, 0, 1) / 127.5 - 1
        for one in people[:2]
    ]
    painted = sample(
        model,
        model.encode([PROMPT], [tensors]),
        height=96,
        width=192,
        steps=4,
        guidance=4.0,
        seeds=[5],
    )[0]
    expected = ((painted.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    difference = np.abs(pixels(reply.pngs[0]).astype(int) - expected.astype(int))
    assert difference.max() <= 1
    assert (reply.version, reply.digest, reply.seeds, reply.matches) == ("7", "d" * 64, [5], [])


def test_alone_or_together_the_same_bytes(engine: Engine, people: Sequence[bytes]) -> None:
    requests = [
        Request(
            prompt=f"{PROMPT} {number}",
            references=people[: 1 + number % 3],
            seed=number,
            steps=3 + number % 4,
            images=1 + number % 2,
        )
        for number in range(12)
    ]
    alone = [engine.generate(request).pngs for request in requests]
    with ThreadPoolExecutor(12) as pool:
        together = [reply.pngs for reply in pool.map(engine.generate, requests)]
    assert together == alone
    assert len({png for pngs in alone for png in pngs}) == 18


def test_pictures_of_one_call_are_those_of_the_seeds_that_follow(
    engine: Engine, people: Sequence[bytes]
) -> None:
    request = Request(prompt=PROMPT, references=people[:1], seed=2**63 - 1, steps=2, images=3)
    reply = engine.generate(request)
    assert reply.seeds == [2**63 - 1, 0, 1]
    for seed, png in zip(reply.seeds, reply.pngs, strict=True):
        assert engine.generate(replace(request, seed=seed, images=1)).pngs == [png]


def test_every_step_is_reported_with_a_preview(engine: Engine, people: Sequence[bytes]) -> None:
    seen: list[Progress] = []
    request = Request(prompt=PROMPT, references=people[:1], steps=5, images=2)
    reply = engine.generate(request, on_step=seen.append)
    assert sorted({progress.step for progress in seen}) == [1, 2, 3, 4, 5]
    assert {progress.steps for progress in seen} == {5}
    assert seen[-1].preview() == reply.pngs
    assert pixels(seen[0].preview()[0]).shape == (96, 96, 3)


def test_a_cancelled_call_computes_no_further_step(engine: Engine, people: Sequence[bytes]) -> None:
    gone = threading.Event()
    steps: list[int] = []

    def leave(progress: Progress) -> None:
        steps.append(progress.step)
        if progress.step == 3:
            gone.set()

    request = Request(prompt=PROMPT, references=people[:1], steps=50)
    with pytest.raises(CancelledError):
        engine.generate(request, on_step=leave, cancelled=gone.is_set)
    assert steps == [1, 2, 3]
    assert engine.generate(replace(request, steps=1)).pngs


def test_closing_ends_the_calls(people: Sequence[bytes], engine: Engine) -> None:
    started = threading.Event()
    request = Request(prompt=PROMPT, references=people[:1], steps=100)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(engine.generate, request, on_step=lambda progress: started.set())
        started.wait()
        engine.close()
        with pytest.raises(CancelledError):
            call.result()
    with pytest.raises(CancelledError):
        engine.generate(request)


def test_a_failure_reaches_its_caller_and_nobody_else(
    engine: Engine, people: Sequence[bytes]
) -> None:
    def fail(progress: Progress) -> None:
        raise RuntimeError("out of memory")

    request = Request(prompt=PROMPT, references=people[:1], steps=2)
    good = engine.generate(request).pngs
    with ThreadPoolExecutor(2) as pool:
        bad = pool.submit(engine.generate, request, on_step=fail)
        fine = pool.submit(engine.generate, request)
        with pytest.raises(RuntimeError, match="out of memory"):
            bad.result()
        assert fine.result().pngs == good


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"guidance": float("nan")}, "guidance is nan"),
        ({"prompt": " "}, "prompt is empty"),
        ({"references": [b"no picture"]}, "reference 1 is no picture"),
        ({"width": 1024, "height": 1024}, "this model paints at most 147456"),
        ({"width": 100}, "not a multiple of 16"),
    ],
)
def test_what_is_outside_the_limits_is_refused(
    engine: Engine, people: Sequence[bytes], changes: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        engine.generate(replace(Request(prompt=PROMPT, references=people[:1]), **changes))


def test_a_damaged_reference_is_named(engine: Engine, people: Sequence[bytes]) -> None:
    with pytest.raises(UsageError, match="reference 2 is damaged"):
        engine.generate(Request(prompt=PROMPT, references=[people[0], people[1][:4000]]))


def test_no_metadata_comes_out(engine: Engine, people: Sequence[bytes]) -> None:
    reply = engine.generate(Request(prompt=PROMPT, references=people[:1], steps=1))
    assert Image.open(io.BytesIO(reply.pngs[0])).info == {}


def test_loads_what_was_trained(trained: Path, people: Sequence[bytes], engine: Engine) -> None:
    loaded = Engine.load(trained, str(trained.parent / "base"), version="3")
    request = Request(prompt=PROMPT, references=people[:1], steps=2)
    expected, found = (pixels(e.generate(request).pngs[0]) for e in (engine, loaded))
    assert np.abs(expected.astype(int) - found.astype(int)).max() <= 1
    assert len(load_file(trained / "lora.safetensors"))
    loaded.close()


@pytest.mark.parametrize(("weights", "most"), [("bfloat16", 16), ("int8", 16)])
def test_fewer_bits_paint_nearly_the_same(
    trained: Path, people: Sequence[bytes], engine: Engine, weights: Weights, most: int
) -> None:
    loaded = Engine.load(trained, str(trained.parent / "base"), weights=weights)
    request = Request(prompt=PROMPT, references=people[:2], steps=2)
    expected, found = (pixels(e.generate(request).pngs[0]) for e in (engine, loaded))
    loaded.close()
    assert 0 < np.abs(expected.astype(int) - found.astype(int)).max() <= most


@pytest.mark.parametrize(
    "make", [tiny_flux, tiny_flux2, tiny_omnigen2], ids=["flux", "flux2", "omnigen2"]
)
def test_every_base_paints_alone_what_it_paints_in_company(
    make: Callable[[int], Any], pack: FacePack, people: Sequence[bytes]
) -> None:
    model = make(0)
    steady(model.transformer)
    own = Engine(model, pack, version="1", digest="d" * 64)
    requests = [
        Request(
            prompt=prompt,
            references=people[:2],
            seed=number,
            steps=2,
            guidance=2.0,
            width=64,
            height=80,
        )
        for number, prompt in enumerate(["Two people", "Two dogs at a table", "Two people"])
    ]
    alone = [own.generate(request).pngs for request in requests]
    with ThreadPoolExecutor(3) as pool:
        together = [reply.pngs for reply in pool.map(own.generate, requests)]
    own.close()
    assert together == alone
    assert pixels(alone[0][0]).shape == (80, 64, 3)


def test_a_changed_byte_is_refused(trained: Path) -> None:
    with (trained / "lora.safetensors").open("r+b") as stream:
        stream.seek(-1, 2)
        stream.write(b"\xff")
    with pytest.raises(DiffersError, match=r"lora\.safetensors has sha256"):
        Engine.load(trained, str(trained.parent / "base"))


def test_another_base_is_refused(trained: Path) -> None:
    change_manifest(trained, base={"name": "embedded", "digest": "e" * 64})
    with pytest.raises(DiffersError, match=f"tuned on base {'e' * 64}"):
        Engine.load(trained, str(trained.parent / "base"))


@pytest.mark.parametrize("place", ["train", "base"])
def test_a_pickle_is_refused(trained: Path, place: str) -> None:
    (trained.parent / place / "extra.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(UsageError, match=r"extra\.bin is a pickle"):
        Engine.load(trained, str(trained.parent / "base"))


def test_without_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("none")
    write_manifest(tmp_path, {})
    with pytest.raises(UsageError, match=r"no lora\.safetensors"):
        Engine.load(tmp_path)


def test_the_signature_must_be_one_that_counts(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keygen(tmp_path / "key")
    monkeypatch.setenv(VERIFY_KEY, f"file:{tmp_path / 'key.pub'}")
    with pytest.raises(DeniedError, match="is not signed"):
        Engine.load(trained, str(trained.parent / "base"))
    sign(trained, f"file:{tmp_path / 'key'}")
    Engine.load(trained, str(trained.parent / "base")).close()
    assert os.environ[VERIFY_KEY].startswith("file:")

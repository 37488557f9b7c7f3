"""A generated dataset: what both embedders recognise, the same however it came about."""

from collections.abc import Sequence
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from services.killed import killed_at
from services.tiny_training import TILE, TinyModel, tiny_pack
from umo.bases.protocol import Conditioning
from umo.data.check import check
from umo.data.filters import Likeness
from umo.data.generate import GenerateConfig, generate_samples
from umo.data.shards import Dataset
from umo.data.share import Share
from umo.errors import UmoError
from umo.files import read_manifest
from umo.steps.generate import generate

CONFIG = GenerateConfig(
    samples=22,
    people={2: 0.7, 3: 0.3},
    places=("in a park", "at the beach"),
    size=TILE,
    steps=2,
    shard=5,
    batch=3,
    likeness=Likeness(judge=0.9, reward=0.9, stranger=0.8),
)
NAME = "ab" * 32


class Painter(TinyModel):
    """Paints its noise; with references these, side by side, except at the beach."""

    def encode(
        self, prompts: Sequence[str], references: Sequence[Sequence[Tensor]]
    ) -> Conditioning:
        beach = torch.tensor([[float("beach" in prompt)] for prompt in prompts])
        slots = zip(*references, strict=True)
        latents = tuple(self.encode_images(torch.stack(slot)) for slot in slots)
        return Conditioning(text=beach[..., None], pooled=beach, references=latents)

    def encode_images(self, images: Tensor) -> Tensor:
        return F.avg_pool2d(images, 8)

    def latent_shape(self, height: int, width: int) -> tuple[int, int, int]:
        return 3, height // 8, width // 8

    def decode(self, latents: Tensor) -> Tensor:
        return F.interpolate(latents, scale_factor=8).clamp(-1, 1)

    def velocity(
        self, latents: Tensor, sigma: Tensor, conditioning: Conditioning, *, guidance: float
    ) -> Tensor:
        goal = 0.5 * latents
        if conditioning.references:
            copied = torch.cat(conditioning.references, dim=3)
            goal = torch.where(conditioning.pooled[..., None, None] > 0, goal, copied)
        return (latents - goal) / sigma[:, None, None, None]


def make(folder: Path, config: GenerateConfig = CONFIG) -> dict[str, object]:
    generate(config, Painter(), tiny_pack(), NAME, "", folder)
    return read_manifest(folder, verify=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generated") / "data"
    make(folder)
    return folder


def test_what_is_accepted_is_recognised_and_the_rest_is_counted(whole: Path) -> None:
    facts = read_manifest(whole)
    kept = Dataset(whole)
    assert 0 < len(kept) < CONFIG.samples
    assert sum(facts["rejected"].values()) + len(kept) == facts["candidates"] == CONFIG.samples
    assert facts["accepted_share"] == len(kept) / CONFIG.samples
    assert facts["rejected"]["a person is unlike the reference, says the judge"] > 0
    assert facts["face_pack"] == {"name": "tiles", "digest": "1" * 64}
    assert check([whole]) == []
    for sample in kept:
        assert "beach" not in sample.prompt
        assert sample.quality > 0.9
        assert sample.boxes.tolist() == [
            [TILE * k, 0, TILE * k + TILE, TILE] for k in range(len(sample.identities))
        ]
        assert (sample.source, sample.consent) == ("generated", "generated")
    assert {path.name for path in whole.parent.iterdir()} == {"data"}


def test_a_person_does_not_depend_on_who_is_painted_beside() -> None:
    all_at_once = list(generate_samples(CONFIG, Painter(), range(8), name="x"))
    alone = list(generate_samples(replace(CONFIG, batch=1), Painter(), range(5, 6), name="x"))
    assert alone[0].identities == all_at_once[5].identities
    assert (alone[0].target == all_at_once[5].target).all()


def test_killed_anywhere_it_ends_with_the_same_bytes(tmp_path: Path, whole: Path) -> None:
    expected = read_manifest(whole)
    number, killed = 3, True
    while killed:
        folder = tmp_path / f"{number}" / "data"
        folder.parent.mkdir()
        killed = killed_at(number, folder.parent, lambda folder=folder: make(folder))
        assert make(folder) == expected
        assert not folder.with_name("data.parts").exists()
        number += 29
    assert number > 100


def test_processes_together_end_with_the_bytes_of_one(tmp_path: Path, whole: Path) -> None:
    context = get_context("fork")
    together = [context.Process(target=make, args=(tmp_path / "data",)) for _ in range(3)]
    for process in together:
        process.start()
    for process in together:
        process.join()
    assert [process.exitcode for process in together] == [0, 0, 0]
    assert read_manifest(tmp_path / "data", verify=True) == read_manifest(whole)
    assert not (tmp_path / "data.parts").exists()


def test_shares_in_any_order_are_joined_to_the_same_bytes(tmp_path: Path, whole: Path) -> None:
    folder = tmp_path / "data"
    for number in (2, 0):
        share = Share(number, 3)
        done = generate(CONFIG, Painter(), tiny_pack(), NAME, "", folder, share)
        assert done.folder == folder.with_name("data.parts")
        assert not folder.exists()
    assert make(folder) == read_manifest(whole)
    assert generate(CONFIG, Painter(), tiny_pack(), NAME, "", folder, Share(1, 3)).reused


def test_nothing_accepted_is_one_line_with_the_reasons(tmp_path: Path) -> None:
    beach = replace(CONFIG, places=("at the beach",), samples=3)
    with pytest.raises(UmoError, match="none of 3 candidates was accepted: 3 a person is unlike"):
        make(tmp_path / "data", beach)
    assert not (tmp_path / "data").exists()


def test_other_seeds_are_other_people(tmp_path: Path, whole: Path) -> None:
    other = make(tmp_path / "data", replace(CONFIG, seed=1))
    assert other["digest"] != read_manifest(whole)["digest"]

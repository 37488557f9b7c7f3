"""Six people in two views, and a model that pastes its references into the picture."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from umo.bases.protocol import Conditioning
from umo.data.schema import Image, Sample
from umo.data.shards import Dataset, write_dataset
from umo.errors import DiffersError
from umo.evaluation.evaluate import EvaluationConfig, evaluate
from umo.faces.packs import FacePack, load_pack
from umo.files import write_manifest

PEOPLE = Path(__file__).parents[2] / "golden" / "people.webp"
TILE = 96


class PasteModel:
    """Paints, for every person, `keep` of the reference and the rest of the next person's.

    Its LoRA is the pair `keep` (base: 0.5) and `shift`: whose references it takes, those of the
    item itself (0) or those of the item so many rows further in the batch.
    """

    name = "paste"
    digest = "0" * 64

    def __init__(self) -> None:
        self.transformer: nn.Module = nn.Linear(1, 1)
        self.without_lora()

    def encode(
        self, prompts: Sequence[str], references: Sequence[Sequence[Tensor]]
    ) -> Conditioning:
        slots = zip(*references, strict=True)
        rows = len(prompts)
        return Conditioning(
            text=torch.zeros(rows, 1, 1),
            pooled=torch.zeros(rows, 1),
            references=tuple(torch.stack(list(slot)) for slot in slots),
        )

    def encode_images(self, images: Tensor) -> Tensor:
        return images

    def latent_shape(self, height: int, width: int) -> tuple[int, int, int]:
        return 3, height, width

    def velocity(
        self, latents: Tensor, sigma: Tensor, conditioning: Conditioning, *, guidance: float
    ) -> Tensor:
        own = [slot.roll(self.shift, dims=0) for slot in conditioning.references]
        other = own[1:] + own[:1]
        tiles = [self.keep * a + (1 - self.keep) * b for a, b in zip(own, other, strict=True)]
        return (latents - torch.cat(tiles, dim=3)) / sigma[:, None, None, None]

    def sigmas(self, steps: int, height: int, width: int) -> Tensor:
        return torch.linspace(1, 0, steps + 1)

    def decode(self, latents: Tensor) -> Tensor:
        return latents

    def lora_targets(self) -> list[str]:
        return []

    def add_lora(self, rank: int, *, seed: int) -> list[nn.Parameter]:
        raise NotImplementedError

    def save_lora(self, path: Path) -> None:
        save_file({"keep": torch.tensor(self.keep), "shift": torch.tensor(self.shift)}, path)

    def load_lora(self, path: Path) -> None:
        state = load_file(path)
        if state.keys() != {"keep", "shift"}:
            raise DiffersError(f"{path} has the keys {sorted(state)}, paste expects keep, shift")
        self.keep, self.shift = state["keep"].item(), int(state["shift"].item())

    def without_lora(self) -> None:
        self.keep, self.shift = 0.5, 0


def views() -> list[list[Image]]:
    """`[person][view]`, each 96 x 96."""
    with Pillow.open(PEOPLE) as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    columns = pixels.shape[1] // TILE
    return [
        [
            pixels[view * TILE : (view + 1) * TILE, person * TILE : (person + 1) * TILE]
            for view in range(2)
        ]
        for person in range(columns)
    ]


def make_sample(key: str, people: Sequence[int], faces: list[list[Image]]) -> Sample:
    count = len(people)
    corner = np.array([[TILE * slot, 0, TILE * slot, 0] for slot in range(count)])
    return Sample(
        key=key,
        prompt=f"{count} people side by side in a park",
        target=np.concatenate([faces[person][1] for person in people], axis=1),
        references=tuple(faces[person][0] for person in people),
        boxes=(corner + np.array([20, 10, 76, 86])).astype(np.float32),
        identities=tuple(f"person-{person}" for person in people),
        split="held-out",
        source="photographs of people who do not exist",
        licence="MIT",
        consent="generated",
    )


@pytest.fixture
def model() -> PasteModel:
    return PasteModel()


@pytest.fixture(scope="session")
def faces() -> list[list[Image]]:
    return views()


@pytest.fixture(scope="session")
def sample_of(faces: list[list[Image]]) -> Callable[[str, Sequence[int]], Sample]:
    return lambda key, people: make_sample(key, people, faces)


@pytest.fixture
def lora(tmp_path: Path) -> Callable[..., Path]:
    def write(name: str, *, keep: float, shift: int = 0) -> Path:
        path = tmp_path / name / "lora.safetensors"
        path.parent.mkdir()
        model = PasteModel()
        model.keep, model.shift = keep, shift
        model.save_lora(path)
        return path

    return write


@pytest.fixture(scope="session")
def pack() -> FacePack:
    return load_pack("open")


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    faces = views()
    groups = [[0, 1], [0, 1, 2], [2, 3], [4, 5], [3, 4, 5], [5, 0]]
    folder = tmp_path_factory.mktemp("data") / "held-out"
    write_dataset(
        [make_sample(f"item-{n}", people, faces) for n, people in enumerate(groups)],
        folder,
        {"split": "held-out"},
    )
    return Dataset(folder)


CONFIG = EvaluationConfig(steps=2, batch=4, resamples=500)


@pytest.fixture(scope="session")
def loras(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`tuned/` copies references and has a log and a manifest; `strangers/` takes other items'."""
    folder = tmp_path_factory.mktemp("loras")
    for label, shift in (("tuned", 0), ("strangers", 1)):
        (folder / label).mkdir()
        model = PasteModel()
        model.keep, model.shift = 1.0, shift
        model.save_lora(folder / label / "lora.safetensors")
    lines = [{"step": step, "reward": step / 100, "matched": 0.5} for step in range(1, 20)]
    log = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "tuned" / "metrics.jsonl").write_text(log)
    write_manifest(folder / "tuned", {"kind": "lora", "seed": 3})
    return folder


@pytest.fixture(scope="session")
def compared(
    tmp_path_factory: pytest.TempPathFactory, loras: Path, dataset: Dataset, pack: FacePack
) -> Path:
    """The folder of an evaluation of base, `tuned` and `strangers`."""
    out = tmp_path_factory.mktemp("evaluation") / "out"
    models = {"base": None} | {
        label: loras / label / "lora.safetensors" for label in ("tuned", "strangers")
    }
    evaluate(models, base=PasteModel(), dataset=dataset, pack=pack, out=out, config=CONFIG)
    return out

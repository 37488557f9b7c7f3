"""A reference model, a face pack and a dataset so small that training takes seconds."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from umo.bases.protocol import LEVELS, Conditioning
from umo.data.schema import Sample
from umo.data.shards import Dataset, write_dataset
from umo.errors import DiffersError
from umo.faces.detect import Faces
from umo.faces.embed import FaceEmbedder
from umo.faces.packs import FacePack

TILE = 32
CHANNELS = 12


class Lora(nn.Module):
    def __init__(self, linear: nn.Linear, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        self.linear = linear
        self.strength = 1.0
        down = torch.randn(rank, linear.in_features, generator=generator) / rank
        self.down = nn.Parameter(down)
        self.up = nn.Parameter(torch.zeros(linear.out_features, rank))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) + self.strength * (x @ self.down.T @ self.up.T)


class Network(nn.Module):
    """Latent tokens, each with its reference's latents at the same place, the text and sigma."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2 * CHANNELS + 8 + 2, 64)
        self.last = nn.Linear(64, CHANNELS)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.gelu(self.first(x)))


class TinyModel:
    """A `ReferenceModel` of two linear layers; its latents are pictures at 1/8 of their size."""

    name = "tiny"
    digest = "0" * 64

    def __init__(self, seed: int = 0) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.transformer = Network().requires_grad_(False)
            self.decoder = nn.Conv2d(CHANNELS, 3 * 64, 1).requires_grad_(False)
            self.words = torch.randn(256, 8)

    @property
    def large(self) -> tuple[nn.Module, ...]:
        return (self.transformer,)

    def encode(
        self, prompts: Sequence[str], references: Sequence[Sequence[Tensor]]
    ) -> Conditioning:
        text = torch.stack([self.words[list(prompt.encode())] for prompt in prompts])
        slots = zip(*references, strict=True)
        return Conditioning(
            text=text,
            pooled=text.mean(dim=1),
            references=tuple(self.encode_images(torch.stack(slot)) for slot in slots),
        )

    def to(self, device: torch.device) -> None:
        self.transformer.to(device)
        self.decoder.to(device)

    def encode_images(self, images: Tensor) -> Tensor:
        return F.avg_pool2d(F.pixel_unshuffle(images, 2), 4)

    def latent_shape(self, height: int, width: int) -> tuple[int, int, int]:
        return CHANNELS, height // 8, width // 8

    def velocity(
        self, latents: Tensor, sigma: Tensor, conditioning: Conditioning, *, guidance: float
    ) -> Tensor:
        references = torch.cat(conditioning.references, dim=3)
        rest = torch.cat([conditioning.pooled, sigma[:, None], sigma[:, None] * 0 + guidance], 1)
        rest = rest[:, :, None, None].expand(-1, -1, *latents.shape[2:])
        tokens = torch.cat([latents, references, rest], dim=1).movedim(1, 3)
        return self.transformer(tokens).movedim(3, 1)

    def sigmas(self, steps: int, height: int, width: int) -> Tensor:
        return 2 / (1 + 1 / torch.linspace(1, 0, steps + 1))

    def training_sigmas(self, height: int, width: int) -> Tensor:
        return self.sigmas(LEVELS - 1, height, width)

    def decode(self, latents: Tensor) -> Tensor:
        return F.pixel_shuffle(self.decoder(latents), 8)

    def lora_targets(self) -> list[str]:
        return ["first", "last"]

    def add_lora(self, rank: int, *, seed: int) -> list[nn.Parameter]:
        generator = torch.Generator().manual_seed(seed)
        for name in self.lora_targets():
            setattr(self.transformer, name, Lora(getattr(self.transformer, name), rank, generator))
        return [p for p in self.transformer.parameters() if p.requires_grad]

    def _lora(self) -> dict[str, Tensor]:
        state = self.transformer.state_dict()
        return {key: state[key] for key in state if key.endswith((".down", ".up"))}

    def load_lora(self, path: Path) -> None:
        state = load_file(path)
        self.add_lora(next(iter(state.values())).shape[0], seed=0)
        if state.keys() != self._lora().keys():
            raise DiffersError(f"{path} has other keys than {self.name}")
        for key, value in self._lora().items():
            value.copy_(state[key])

    def save_lora(self, path: Path) -> None:
        save_file(self._lora(), path)

    @contextmanager
    def lora_off(self) -> Iterator[None]:
        layers = [layer for layer in self.transformer.modules() if isinstance(layer, Lora)]
        for layer in layers:
            layer.strength = 0.0
        yield
        for layer in layers:
            layer.strength = 1.0

    def without_lora(self) -> None:
        for name in self.lora_targets():
            layer = getattr(self.transformer, name)
            if isinstance(layer, Lora):
                setattr(self.transformer, name, layer.linear)


LANDMARKS = torch.tensor([[10.0, 12], [22, 12], [16, 18], [11, 24], [21, 24]])


class TileDetector(nn.Module):
    """One face in each tile of a picture that is not black."""

    def detect(self, images: Tensor) -> list[Faces]:
        return [self._of(image) for image in images]

    def _of(self, image: Tensor) -> Faces:
        tiles = image.shape[1] // TILE if image.any() else 0
        shift = torch.tensor([[[TILE * tile, 0]] for tile in range(tiles)]).view(-1, 1, 2)
        return Faces(
            boxes=torch.cat([shift, shift + TILE], dim=2)[:, 0].float(),
            landmarks=LANDMARKS + shift,
            scores=torch.ones(tiles),
        )


def embedder(seed: int) -> FaceEmbedder:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Conv2d(3, 16, 5, stride=3), nn.GELU(), nn.Flatten())
        network.append(nn.Linear(16 * 4 * 4, 8))
    return FaceEmbedder(
        network,
        size=16,
        template=LANDMARKS / 2,
        mean=torch.zeros(8),
        directions=torch.zeros(0, 8),
    )


def tiny_pack() -> FacePack:
    return FacePack(
        name="tiles",
        digest="1" * 64,
        detector=TileDetector(),
        reward=embedder(1),
        judge=embedder(2),
        licences={},
        commercial=True,
    )


def make_sample(index: int, people: int) -> Sample:
    rng = np.random.default_rng(index)

    def picture(width: int) -> np.ndarray:
        coarse = rng.integers(0, 256, (4, width // 8, 3), np.uint8)
        return coarse.repeat(8, axis=0).repeat(8, axis=1)

    boxes = [[TILE * i, 0, TILE * i + TILE, TILE] for i in range(people)]
    return Sample(
        key=f"sample-{index}",
        prompt=f"{people} people",
        target=picture(TILE * people),
        references=tuple(picture(TILE) for _ in range(people)),
        boxes=np.array(boxes, np.float32),
        identities=tuple(f"person-{index}-{i}" for i in range(people)),
        split="tune",
        source="drawn",
        licence="CC0-1.0",
        consent="generated",
    )


def tiny_dataset(folder: Path) -> Dataset:
    """Four samples of two people and, between them, three of one person."""
    write_dataset([make_sample(index, 2 - index % 2) for index in range(7)], folder, {})
    return Dataset(folder)

"""Face packs: a detector, the embedder of the reward, and another embedder that judges."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from umo.errors import NotFoundError, UsageError
from umo.faces.detect import FaceDetector, Faces, Mtcnn
from umo.faces.dlib_resnet import DlibResnet
from umo.faces.embed import FaceEmbedder
from umo.faces.onnx_reader import Graph, GraphModule, load_graph
from umo.files import read_manifest
from umo.pixels import to_bytes

OPEN_PACK = Path(__file__).parent.parent / "assets" / "faces"
DETECTOR_FILE = "mtcnn.safetensors"
REWARD_FILE = "fr_feature.safetensors"
JUDGE_FILE = "dlib_resnet.safetensors"
INSIGHTFACE = "insightface:"
PUBLISHED = ("umo", "xverse")
"""Packs of published papers, before a colon and their folder."""

ARCFACE_TEMPLATE = (
    (38.2946, 51.6963),
    (73.5318, 51.5014),
    (56.0252, 71.7366),
    (41.5493, 92.3655),
    (70.7299, 92.2041),
)
"""Landmarks in ArcFace's crop of 112 x 112 pixels."""

DLIB_TEMPLATE = (
    (47.549, 46.599),
    (100.476, 46.599),
    (74.013, 76.563),
    (50.415, 103.023),
    (97.610, 103.023),
)
"""The same landmarks of dlib's mean face (eyes: mean of six points) at 150 pixels, padding 0.25."""


DLIB_CHANNEL_MEANS = (122.782, 117.001, 104.298)
"""Mean of red, green and blue that dlib subtracts, 0 to 255."""


@dataclass(frozen=True, kw_only=True)
class FacePack:
    """Everything that finds and compares faces in one run."""

    name: str
    """What `load_pack` was asked for."""
    digest: str
    """sha256 over the pack's files."""
    detector: FaceDetector
    """Finds the faces."""
    reward: FaceEmbedder
    """The embedder that training sees."""
    judge: FaceEmbedder
    """The embedder that training never sees, of another architecture and training."""
    licences: dict[str, str]
    """Licence of each part: `detector`, `reward`, `judge`."""
    commercial: bool
    """Whether the stated licence of every part allows commercial use."""

    def to(self, device: torch.device | str) -> "FacePack":
        """Move all networks to a device; returns the pack."""
        for part in (self.detector, self.reward, self.judge):
            if isinstance(part, torch.nn.Module):
                part.to(device)
        return self


def load_pack(name_or_path: str = "open") -> FacePack:
    """Load a face pack.

    Args:
        name_or_path: `open` for the shipped pack; `insightface:<folder>` for a folder with the
            ONNX files of an insightface model pack (buffalo_l, antelopev2); `umo:<folder>` or
            `xverse:<folder>` for a folder that `umo.faces.convert` wrote.

    Raises:
        NotFoundError: The folder or a file does not exist.
        DiffersError: A file is not the one of its manifest, or its keys or shapes are not those of
            the network; it names them.
        UsageError: An unknown name, or a file that is not of the expected kind.
    """
    if name_or_path == "open":
        return _load_open()
    if name_or_path.startswith(INSIGHTFACE):
        from umo.faces.insightface import load_insightface

        return load_insightface(Path(name_or_path.removeprefix(INSIGHTFACE)).expanduser())
    kind, _, folder = name_or_path.partition(":")
    if kind in PUBLISHED and folder:
        from umo.faces.published import load_published

        return load_published(kind, Path(folder).expanduser())
    raise UsageError(
        f"unknown face pack {name_or_path!r}",
        hint="use open, insightface:<folder>, umo:<folder> or xverse:<folder>",
    )


def reward_embedder(graph: Graph, mean: Tensor, directions: Tensor) -> FaceEmbedder:
    """fr_feature: 512 numbers of a crop of 112 x 112, BGR, `(x - 127.5) / 128`."""
    return FaceEmbedder(
        GraphModule(graph),
        size=112,
        template=torch.tensor(ARCFACE_TEMPLATE),
        gain=127.5 / 128,
        bgr=True,
        mean=mean,
        directions=directions,
    )


def judge_embedder(weights: Mapping[str, Tensor], mean: Tensor, directions: Tensor) -> FaceEmbedder:
    """dlib: 128 numbers of a crop of 150 x 150, RGB, `(x - channel mean) / 256`."""
    network = DlibResnet()
    network.load_state_dict({name: value.float() for name, value in weights.items()})
    red, green, blue = ((127.5 - average) / 256 for average in DLIB_CHANNEL_MEANS)
    return FaceEmbedder(
        network,
        size=150,
        template=torch.tensor(DLIB_TEMPLATE),
        gain=127.5 / 256,
        offset=(red, green, blue),
        mean=mean,
        directions=directions,
    )


def detect_float(detector: FaceDetector, images: Tensor) -> list[Faces]:
    """Faces of pictures `[B,3,H,W]` in -1..1, which are clamped and rounded to 8 bits first."""
    return detector.detect(to_bytes(images))


def embed_faces(images: Tensor, faces: Sequence[Faces], embedder: FaceEmbedder) -> list[Tensor]:
    """Embeddings `[n_i,D]` of the faces of each picture, in one pass of the embedder.

    Args:
        images: `[B,3,H,W]` in -1..1.
        faces: The faces of each picture; there may be none.
        embedder: Reward or judge.

    Returns:
        One tensor for each picture, differentiable in `images`.
    """
    counts = [len(found) for found in faces]
    owner = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    landmarks = torch.cat([found.landmarks for found in faces])
    crops = embedder.crops(images.float(), landmarks, owner.to(images.device))
    return list(embedder(crops).split(counts))


@torch.no_grad()
def reference_embeddings(
    pack: FacePack, embedder: FaceEmbedder, images: Sequence[Tensor]
) -> Tensor:
    """Embeddings `[n,D]` of the largest face of each reference picture `[3,H,W]` in -1..1.

    Raises:
        UsageError: A reference has no face.
    """
    rows = [embedder.mean.new_zeros(0, embedder.dim)]
    for index, image in enumerate(images):
        (faces,) = detect_float(pack.detector, image[None])
        if not len(faces):
            raise UsageError(
                f"no face in reference {index}", hint="give a picture with a clear, upright face"
            )
        rows.append(embed_faces(image[None], [faces.largest()], embedder)[0])
    return torch.cat(rows)


def _load_open() -> FacePack:
    if not OPEN_PACK.is_dir():
        raise NotFoundError(
            f"no open face pack at {OPEN_PACK}", hint="run python -m umo.faces.rebuild"
        )
    manifest = read_manifest(OPEN_PACK, verify=True)
    graph, reward = load_graph(OPEN_PACK / REWARD_FILE)
    judge = load_file(OPEN_PACK / JUDGE_FILE)
    judge_mean, judge_directions = judge.pop("mean"), judge.pop("directions")
    return FacePack(
        name="open",
        digest=manifest["digest"],
        detector=Mtcnn(load_file(OPEN_PACK / DETECTOR_FILE)),
        reward=reward_embedder(graph, reward["mean"], reward["directions"]),
        judge=judge_embedder(judge, judge_mean, judge_directions),
        licences=manifest["licences"],
        commercial=manifest["commercial"],
    )

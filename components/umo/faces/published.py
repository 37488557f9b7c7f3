"""Face packs of published papers, for numbers that compare with theirs.

`umo:<folder>` is what UMO's reward sees: RetinaFace and iresnet50. `xverse:<folder>` is what
XVerseBench judges with: RetinaFace, fed RGB as its scripts do, and IR-SE50. A folder that
`umo.faces.convert` wrote may hold both embedders; the one that a pack does not ask for is then its
other part (UMO trains with iresnet50 and is judged by IR-SE50), else that of the open pack is.

Crops are ArcFace's, of 112 x 112 pixels, RGB in -1..1, sampled without smoothing. ArcFace's cosines
of strangers are near 0 as they are, so nothing is subtracted. Two things differ from the public
code: UMO's reward takes the means from the pixels twice before it looks for faces, and XVerse's
scripts round crops to 8 bits.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from umo.config import digest
from umo.errors import DiffersError, NotFoundError, UsageError
from umo.faces.embed import FaceEmbedder
from umo.faces.iresnet import IResNet50
from umo.faces.irse import IrSe50
from umo.faces.packs import ARCFACE_TEMPLATE, FacePack, load_pack
from umo.faces.retinaface import RetinaFace
from umo.faces.retinaface_network import RetinaFaceNetwork
from umo.files import read_manifest
from umo.keys import differences

SIDE = 112
DIM = 512
NAMED = 8
"""Keys of each kind that a refusal names."""
COUNTER = "num_batches_tracked"
"""Of a batch normalisation: counts steps of training, and some files have it, some not."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """A published network."""

    build: Callable[[], nn.Module]
    """Makes it without weights."""
    originals: tuple[str, ...]
    """Names of its public checkpoint."""
    licence: str
    """Of the weights, and of what they were trained on."""

    @property
    def file(self) -> str:
        """What the converted weights are called."""
        return str(Path(self.originals[0]).with_suffix(".safetensors"))


DETECTOR, REWARD, JUDGE = "detector", "reward", "judge"
NETWORKS: Mapping[str, Published] = MappingProxyType(
    {
        DETECTOR: Published(
            build=RetinaFaceNetwork,
            originals=("Resnet50_Final.pth", "detection_Resnet50_Final.pth"),
            licence="MIT (Pytorch_Retinaface); trained on WIDER FACE, non-commercial research only",
        ),
        REWARD: Published(
            build=IResNet50,
            originals=("glint_cosface_res50.pth",),
            licence="insightface model: non-commercial research use only; trained on Glint360K",
        ),
        JUDGE: Published(
            build=IrSe50,
            originals=("model_ir_se50.pth",),
            licence="MIT (InsightFace_Pytorch); trained on MS-Celeb-1M, withdrawn, "
            "non-commercial research only",
        ),
    }
)
"""By their part in UMO's work."""


def load_published(kind: str, folder: Path) -> FacePack:
    """Load the pack `umo` or `xverse` from a folder that `umo.faces.convert` wrote.

    Raises:
        NotFoundError: The folder, its manifest or a file that the pack needs is missing.
        UsageError: A file is not safetensors.
        DiffersError: A file is not the one of the manifest, or does not fit its network.
    """
    if not folder.is_dir():
        raise NotFoundError(
            f"no folder {folder}", hint="make it of the public .pth files by `umo faces convert`"
        )
    manifest = read_manifest(folder, verify=True)
    needed = {DETECTOR, REWARD if kind == "umo" else JUDGE}
    there = {role for role, network in NETWORKS.items() if network.file in manifest["files"]}
    if missing := sorted(needed - there):
        files = ", ".join(NETWORKS[role].originals[0] for role in missing)
        raise NotFoundError(
            f"the pack {kind} needs {files}, {folder} was made without",
            hint="convert all of its .pth files together",
        )
    parts = {role: _embedder(NETWORKS[role], folder) for role in there - {DETECTOR}}
    licences = {role: NETWORKS[role].licence for role in there}
    digests = {NETWORKS[role].file: manifest["files"][NETWORKS[role].file] for role in there}
    if not parts.keys() >= {REWARD, JUDGE}:
        opened = load_pack("open")
        for role, embedder in ((REWARD, opened.reward), (JUDGE, opened.judge)):
            if role not in parts:
                parts[role], licences[role] = embedder, opened.licences[role]
                digests[f"{role} of the open pack"] = opened.digest
    return FacePack(
        name=f"{kind}:{folder}",
        digest=digest({"pack": kind, **digests}),
        detector=RetinaFace(_network(NETWORKS[DETECTOR], folder), bgr=kind == "umo"),
        reward=parts[REWARD],
        judge=parts[JUDGE],
        licences=licences,
        commercial=False,
    )


def check(tensors: Mapping[str, Tensor], network: Published, path: Path) -> None:
    """Refuse weights that are not exactly those of a network.

    Raises:
        DiffersError: A key is missing, unexpected or of another shape; it names the keys.
    """
    with torch.device("meta"):
        expected = network.build().state_dict()
    if wrong := differences(_shapes(expected), _shapes(tensors), most=NAMED):
        raise DiffersError(f"{path} does not fit {network.build.__name__}: {wrong}")


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {key: tuple(t.shape) for key, t in tensors.items() if not key.endswith(COUNTER)}


def _network(published: Published, folder: Path) -> nn.Module:
    """A network with its weights, float32."""
    path = folder / published.file
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise UsageError(f"{path} is not a safetensors file: {error}") from error
    check(tensors, published, path)
    with torch.device("meta"):
        network = published.build()
    weights = {name: value.float() for name, value in tensors.items()}
    network.load_state_dict(weights, assign=True)
    return network


def _embedder(published: Published, folder: Path) -> FaceEmbedder:
    return FaceEmbedder(
        _network(published, folder),
        size=SIDE,
        template=torch.tensor(ARCFACE_TEMPLATE),
        mean=torch.zeros(DIM),
        directions=torch.zeros(0, DIM),
        smooth=False,
    )

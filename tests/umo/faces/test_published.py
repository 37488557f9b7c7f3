import os
from pathlib import Path

import pytest
import torch
from torch import Tensor

from umo.errors import DiffersError, NotFoundError
from umo.faces.detect import Faces
from umo.faces.iresnet import IResNet50
from umo.faces.irse import IrSe50
from umo.faces.packs import ARCFACE_TEMPLATE, FacePack, embed_faces, load_pack
from umo.faces.published import NETWORKS, check
from umo.faces.retinaface import RetinaFace
from umo.files import MANIFEST, write_manifest


@pytest.fixture(scope="module")
def umo(converted: Path) -> FacePack:
    return load_pack(f"umo:{converted}")


@pytest.fixture(scope="module")
def xverse(converted: Path) -> FacePack:
    return load_pack(f"xverse:{converted}")


def without(folder: Path, role: str, target: Path) -> Path:
    """The same pack made without one of its checkpoints."""
    target.mkdir()
    for file in folder.iterdir():
        if file.name not in (MANIFEST, NETWORKS[role].file):
            os.link(file, target / file.name)
    write_manifest(target, {"kind": "face pack"})
    return target


def two_faces() -> list[Faces]:
    """A face of ArcFace's size at 20, 10, and one twice as large; none in a second picture."""
    template = torch.tensor(ARCFACE_TEMPLATE)
    landmarks = torch.stack([template + torch.tensor([20.0, 10]), 2 * template])
    boxes, scores = torch.tensor([[20.0, 10, 132, 122], [0, 0, 224, 224]]), torch.ones(2)
    some = Faces(boxes=boxes, landmarks=landmarks, scores=scores)
    none = Faces(boxes=boxes[:0], landmarks=landmarks[:0], scores=scores[:0])
    return [some, none]


def noise(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(count, 3, 224, 240, generator=generator) * 2 - 1


def test_umo_trains_with_iresnet50_and_is_judged_by_irse50(umo: FacePack, converted: Path) -> None:
    assert isinstance(umo.detector, RetinaFace)
    assert umo.detector.bgr
    assert isinstance(umo.reward.network, IResNet50)
    assert isinstance(umo.judge.network, IrSe50)
    assert (umo.reward.size, umo.reward.dim, umo.judge.dim) == (112, 512, 512)
    assert umo.name == f"umo:{converted}"
    assert not umo.commercial
    assert all("non-commercial" in licence for licence in umo.licences.values())


def test_xverse_feeds_its_detector_rgb(xverse: FacePack, umo: FacePack) -> None:
    assert isinstance(xverse.detector, RetinaFace)
    assert not xverse.detector.bgr
    assert isinstance(xverse.judge.network, IrSe50)
    assert xverse.digest != umo.digest


def test_the_weights_are_those_of_the_originals(umo: FacePack, originals: Path) -> None:
    stored = torch.load(originals / "glint_cosface_res50.pth", weights_only=True)
    loaded = umo.reward.network.state_dict()
    for name in ("conv1.weight", "layer3.13.bn3.running_var", "fc.weight"):
        assert torch.equal(loaded[name], stored[name].float())


@pytest.mark.parametrize("role", ["reward", "judge"])
def test_gradient_reaches_the_pixels_of_a_face(umo: FacePack, role: str) -> None:
    embedder = getattr(umo, role)
    leaf = noise(2).requires_grad_()
    rows, nobody = embed_faces(leaf, two_faces(), embedder)
    assert nobody.shape == (0, 512)
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(2))
    (gradient,) = torch.autograd.grad(rows[0, 0], leaf)
    assert gradient[0, :, 10:122, 20:132].abs().mean() > 0
    assert not gradient[0, :, :, 133:].any()
    assert not gradient[1].any()


def test_a_crop_is_the_pictures_own_pixels(umo: FacePack) -> None:
    pictures = noise(2)
    rows, _ = embed_faces(pictures, two_faces(), umo.reward)
    crops = torch.stack([pictures[0, :, 10:122, 20:132], pictures[0, :, :224:2, :224:2]])
    torch.testing.assert_close(rows, umo.reward(crops), atol=1e-3, rtol=0)


def test_a_batch_equals_its_crops_one_by_one(xverse: FacePack) -> None:
    crops = noise(2)[:, :, :112, :112]
    alone = torch.cat([xverse.judge(crop[None]) for crop in crops])
    torch.testing.assert_close(xverse.judge(crops), alone, atol=1e-5, rtol=0)


def test_what_a_pack_does_not_ask_for_may_be_of_the_open_pack(
    converted: Path, pack: FacePack, tmp_path: Path
) -> None:
    folder = without(converted, "judge", tmp_path / "pack")
    loaded = load_pack(f"umo:{folder}")
    assert isinstance(loaded.reward.network, IResNet50)
    assert loaded.judge.dim == pack.judge.dim
    assert loaded.licences["judge"] == pack.licences["judge"]
    with pytest.raises(NotFoundError, match=r"xverse needs model_ir_se50\.pth, .* made without"):
        load_pack(f"xverse:{folder}")


def test_what_is_missing_or_changed_is_named(converted: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no folder .*; make it .* by `umo faces convert`"):
        load_pack(f"umo:{tmp_path / 'nowhere'}")
    folder = without(converted, "judge", tmp_path / "pack")
    file = folder / NETWORKS["detector"].file
    changed = bytearray(file.read_bytes())
    changed[-1] ^= 1
    file.unlink()
    file.write_bytes(changed)
    with pytest.raises(DiffersError, match=file.name):
        load_pack(f"umo:{folder}")


@pytest.mark.parametrize("role", NETWORKS)
def test_keys_and_shapes_are_strict(role: str) -> None:
    network = NETWORKS[role]
    with torch.device("meta"):
        tensors = network.build().state_dict()
    path = Path("weights")
    check(tensors, network, path)
    names = [name for name in tensors if tensors[name].dim() > 1]
    tensors["classifier.weight"] = tensors.pop(names[0])
    tensors[names[1]] = tensors[names[1]][:1]
    wrong = (
        rf"missing: {names[0]}; unexpected: classifier\.weight; other shape: {names[1]} is \(1, "
    )
    with pytest.raises(DiffersError, match=wrong):
        check(tensors, network, path)

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from umo.errors import NotFoundError, UsageError
from umo.faces.onnx_reader import GraphModule, read_onnx
from umo.faces.packs import FacePack, embed_faces, load_pack
from umo.faces.scrfd import Scrfd

Writer = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path, arcface: Writer, scrfd: Writer) -> Path:
    scrfd(tmp_path / "det_10g.onnx")
    arcface(tmp_path / "w600k_r50.onnx")
    return tmp_path


def test_one_embedder_is_judged_by_the_open_pack(folder: Path, pack: FacePack) -> None:
    loaded = load_pack(f"insightface:{folder}")
    assert isinstance(loaded.detector, Scrfd)
    assert (loaded.reward.dim, loaded.reward.size) == (16, 112)
    assert loaded.judge.dim == pack.judge.dim
    assert not loaded.commercial
    assert "non-commercial" in loaded.licences["reward"]
    assert loaded.licences["judge"] == pack.licences["judge"]


def test_a_second_embedder_is_the_judge(folder: Path, arcface: Writer) -> None:
    before = load_pack(f"insightface:{folder}")
    arcface(folder / "z_glintr100.onnx", seed=1, dim=8)
    loaded = load_pack(f"insightface:{folder}")
    assert (loaded.reward.dim, loaded.judge.dim) == (16, 8)
    assert loaded.digest != before.digest


def test_it_finds_and_embeds_through_the_same_interface(folder: Path) -> None:
    loaded = load_pack(f"insightface:{folder}")
    pictures = torch.randint(0, 256, (2, 96, 160, 3), generator=torch.Generator().manual_seed(0))
    faces = [found.largest() for found in loaded.detector.detect(pictures.byte())]
    assert [len(found) for found in faces] == [1, 1]
    leaf = (pictures.permute(0, 3, 1, 2).float() / 127.5 - 1).requires_grad_()
    rows = embed_faces(leaf, faces, loaded.reward)
    assert [tuple(row.shape) for row in rows] == [(1, 16), (1, 16)]
    rows[0].sum().backward()
    assert leaf.grad is not None


@pytest.mark.parametrize(("height", "width", "scale"), [(64, 96, 1.0), (900, 1280, 0.5)])
def test_boxes_follow_the_published_decoding(
    folder: Path, height: int, width: int, scale: float
) -> None:
    """The best anchor by a plain loop, against the best face of the detector."""
    graph = read_onnx(folder / "det_10g.onnx")
    side = round(max(height, width) * scale)
    canvas = torch.full((1, 3, side, side), -127.5 / 128)
    canvas[..., : round(height * scale), : round(width * scale)] = (90 - 127.5) / 128
    outputs = [output.numpy() for output in GraphModule(graph).run(canvas)]
    best: tuple[float, np.ndarray, np.ndarray] = (-1.0, np.zeros(4), np.zeros(10))
    for level, stride in enumerate((8, 16, 32)):
        scores, boxes, points = outputs[level], outputs[level + 3], outputs[level + 6]
        for row in range(side // stride):
            for column in range(side // stride):
                for anchor in range(2):
                    index = (row * (side // stride) + column) * 2 + anchor
                    if scores[index, 0] > best[0]:
                        centre = np.array([column * stride, row * stride])
                        box = np.tile(centre, 2) + boxes[index] * stride * [-1, -1, 1, 1]
                        marks = np.tile(centre, 5) + points[index] * stride
                        best = (float(scores[index, 0]), box / scale, marks / scale)
    grey = torch.full((1, height, width, 3), 90, dtype=torch.uint8)
    (faces,) = Scrfd(graph, threshold=best[0] - 1e-3).detect(grey)
    assert float(faces.scores[0]) == pytest.approx(best[0], abs=1e-5)
    np.testing.assert_allclose(faces.boxes[0].numpy(), best[1], atol=1e-2)
    np.testing.assert_allclose(faces.landmarks[0].flatten().numpy(), best[2], atol=1e-2)


def test_what_is_missing_is_said_in_one_line(folder: Path) -> None:
    with pytest.raises(NotFoundError, match="no folder"):
        load_pack(f"insightface:{folder / 'nowhere'}")
    (folder / "w600k_r50.onnx").unlink()
    with pytest.raises(NotFoundError, match=r"no ArcFace embedder, but det_10g\.onnx; add w600k"):
        load_pack(f"insightface:{folder}")
    (folder / "det_10g.onnx").unlink()
    with pytest.raises(NotFoundError, match="no SCRFD detector with landmarks, but no ONNX file"):
        load_pack(f"insightface:{folder}")


def test_a_detector_without_landmarks_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="1 outputs, SCRFD with landmarks has 9"):
        Scrfd(read_onnx(folder / "w600k_r50.onnx"))

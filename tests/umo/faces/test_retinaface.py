"""RetinaFace against the description of its public weights, and a plain loop over all anchors."""

from collections.abc import Callable
from math import ceil, exp

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from umo.faces.detect import Faces
from umo.faces.retinaface import RetinaFace
from umo.faces.retinaface_network import RetinaFaceNetwork

Shapes = dict[str, tuple[int, ...]]
STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))
CONTEXT = {
    "conv3X3": (128, 256),
    "conv5X5_1": (64, 256),
    "conv5X5_2": (64, 64),
    "conv7X7_2": (64, 64),
    "conv7x7_3": (64, 64),
}
HEADS = {"ClassHead": 2, "BboxHead": 4, "LandmarkHead": 10}
ODD = (3, 70, 101, 3)
"""Three pictures whose sides no stride divides."""


@pytest.fixture(scope="module")
def weights(random_weights: Callable[..., dict[str, Tensor]]) -> dict[str, Tensor]:
    return {
        name: value * 0.02 if "Head" in name else value
        for name, value in random_weights(RetinaFaceNetwork).items()
    }


@pytest.fixture(scope="module")
def network(weights: dict[str, Tensor]) -> RetinaFaceNetwork:
    network = RetinaFaceNetwork()
    network.load_state_dict(weights)
    return network.eval()


@pytest.fixture(scope="module")
def pictures() -> Tensor:
    return torch.randint(0, 256, ODD, generator=torch.Generator().manual_seed(0)).byte()


@pytest.fixture(scope="module")
def detector(network: RetinaFaceNetwork, pictures: Tensor) -> RetinaFace:
    """With a threshold that leaves 150 anchors in all three pictures."""
    with torch.no_grad():
        scores, _, _ = network(fed(pictures))
    return RetinaFace(network, threshold=float(scores.flatten().sort().values[-151]))


def fed(pictures: Tensor) -> Tensor:
    """BGR minus the means, as the network was trained."""
    means = torch.tensor([104.0, 117.0, 123.0])
    return (pictures.flip(3).float() - means).permute(0, 3, 1, 2)


def test_names_and_shapes_are_those_of_the_public_file(
    batch_norm: Callable[[str, int], Shapes],
) -> None:
    expected: Shapes = {"body.conv1.weight": (64, 3, 7, 7)} | batch_norm("body.bn1", 64)
    width_in = 64
    for stage, (width, blocks) in enumerate(STAGES, start=1):
        for block in range(blocks):
            at = f"body.layer{stage}.{block}"
            for part, shape in (
                ("1", (width, width_in, 1, 1)),
                ("2", (width, width, 3, 3)),
                ("3", (4 * width, width, 1, 1)),
            ):
                expected[f"{at}.conv{part}.weight"] = shape
                expected |= batch_norm(f"{at}.bn{part}", shape[0])
            if block == 0:
                expected[f"{at}.downsample.0.weight"] = (4 * width, width_in, 1, 1)
                expected |= batch_norm(f"{at}.downsample.1", 4 * width)
            width_in = 4 * width
    for number, width in enumerate((512, 1024, 2048), start=1):
        expected[f"fpn.output{number}.0.weight"] = (256, width, 1, 1)
        expected |= batch_norm(f"fpn.output{number}.1", 256)
        for part, (width_out, width_from) in CONTEXT.items():
            expected[f"ssh{number}.{part}.0.weight"] = (width_out, width_from, 3, 3)
            expected |= batch_norm(f"ssh{number}.{part}.1", width_out)
        for head, values in HEADS.items():
            at = f"{head}.{number - 1}.conv1x1"
            expected |= {f"{at}.weight": (2 * values, 256, 1, 1), f"{at}.bias": (2 * values,)}
    for number in (1, 2):
        expected[f"fpn.merge{number}.0.weight"] = (256, 256, 3, 3)
        expected |= batch_norm(f"fpn.merge{number}.1", 256)
    with torch.device("meta"):
        network = RetinaFaceNetwork()
    found = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    counters = {name for name in found if name.endswith("num_batches_tracked")}
    assert {name: found[name] for name in found.keys() - counters} == expected
    assert sum(parameter.numel() for parameter in network.parameters()) == 27_293_600


def test_it_computes_what_the_description_says(
    network: RetinaFaceNetwork, weights: dict[str, Tensor], pictures: Tensor
) -> None:
    with torch.no_grad():
        measured = network(fed(pictures[:1]))
        expected = described(weights, fed(pictures[:1]))
    for ours, theirs in zip(measured, expected, strict=True):
        assert ours.std() > 1e-3
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_faces_are_those_of_a_plain_loop(
    network: RetinaFaceNetwork, detector: RetinaFace, pictures: Tensor
) -> None:
    with torch.no_grad():
        said = [output.double().numpy() for output in network(fed(pictures))]
    for index, faces in enumerate(detector.detect(pictures)):
        expected = looped(*(output[index] for output in said), *ODD[1:3], detector.threshold)
        assert len(faces) == len(expected) > 5
        for row, (score, box, points) in enumerate(expected):
            assert float(faces.scores[row]) == pytest.approx(score, abs=1e-6)
            np.testing.assert_allclose(faces.boxes[row].numpy(), box, atol=1e-2)
            np.testing.assert_allclose(faces.landmarks[row].numpy(), points, atol=1e-2)


def test_a_batch_equals_its_pictures_one_by_one(detector: RetinaFace, pictures: Tensor) -> None:
    for index, together in enumerate(detector.detect(pictures)):
        (alone,) = detector.detect(pictures[index : index + 1])
        same(together, alone)


def test_red_comes_last_unless_it_is_fed_as_the_scripts_do(
    network: RetinaFaceNetwork, detector: RetinaFace, pictures: Tensor
) -> None:
    scripts = RetinaFace(network, bgr=False, threshold=detector.threshold)
    for ours, theirs in zip(
        detector.detect(pictures), scripts.detect(pictures.flip(3)), strict=True
    ):
        same(ours, theirs)


def test_nothing_found(network: RetinaFaceNetwork, pictures: Tensor) -> None:
    found = RetinaFace(network, threshold=1.0).detect(pictures)
    assert [tuple(faces.boxes.shape) for faces in found] == [(0, 4)] * 3
    assert [tuple(faces.landmarks.shape) for faces in found] == [(0, 5, 2)] * 3


def same(ours: Faces, theirs: Faces) -> None:
    for part in ("boxes", "landmarks", "scores"):
        torch.testing.assert_close(getattr(ours, part), getattr(theirs, part), atol=1e-2, rtol=1e-4)


def looped(
    scores: np.ndarray,
    offsets: np.ndarray,
    points: np.ndarray,
    height: int,
    width: int,
    threshold: float,
) -> list[tuple[float, np.ndarray, np.ndarray]]:
    """Score, box and landmarks of each face of one picture, best first, one anchor at a time.

    Anchors are fractions of the picture's sides, as in the published code.
    """
    found = []
    anchor = 0
    for stride, sides in ((8, (16, 32)), (16, (64, 128)), (32, (256, 512))):
        for row in range(ceil(height / stride)):
            for column in range(ceil(width / stride)):
                for side in sides:
                    x, y = (column + 0.5) * stride / width, (row + 0.5) * stride / height
                    w, h = side / width, side / height
                    dx, dy, dw, dh = offsets[anchor]
                    cx, cy = x + 0.1 * w * dx, y + 0.1 * h * dy
                    bw, bh = w * exp(0.2 * dw), h * exp(0.2 * dh)
                    corners = np.array([cx - bw / 2, cy - bh / 2, cx + bw / 2, cy + bh / 2])
                    marks = [(x + 0.1 * w * px, y + 0.1 * h * py) for px, py in points[anchor]]
                    if scores[anchor] > threshold:
                        box = corners * [width, height, width, height]
                        found.append((scores[anchor], box, np.array(marks) * [width, height]))
                    anchor += 1
    assert anchor == len(scores)
    kept: list[tuple[float, np.ndarray, np.ndarray]] = []
    for face in sorted(found, key=lambda face: -face[0]):
        if all(overlap(face[1], other[1]) <= 0.4 for other in kept):
            kept.append(face)
    return kept


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    wide = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    high = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return float(wide * high / (sum(areas) - wide * high))


def described(weights: dict[str, Tensor], x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The network layer by layer, without a module."""

    def norm(x: Tensor, at: str) -> Tensor:
        names = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(weights[f"{at}.{name}"] for name in names), eps=1e-5)

    def layer(x: Tensor, at: str) -> Tensor:
        kernel = weights[f"{at}.0.weight"]
        return norm(F.conv2d(x, kernel, padding=kernel.shape[2] // 2), f"{at}.1")

    x = F.relu(norm(F.conv2d(x, weights["body.conv1.weight"], stride=2, padding=3), "body.bn1"))
    x = F.max_pool2d(x, 3, 2, 1)
    levels = []
    for stage, (_, blocks) in enumerate(STAGES, start=1):
        for block in range(blocks):
            at = f"body.layer{stage}.{block}"
            stride = 2 if block == 0 and stage > 1 else 1
            y = F.relu(norm(F.conv2d(x, weights[f"{at}.conv1.weight"]), f"{at}.bn1"))
            y = F.conv2d(y, weights[f"{at}.conv2.weight"], stride=stride, padding=1)
            y = F.conv2d(F.relu(norm(y, f"{at}.bn2")), weights[f"{at}.conv3.weight"])
            if block == 0:
                x = F.conv2d(x, weights[f"{at}.downsample.0.weight"], stride=stride)
                x = norm(x, f"{at}.downsample.1")
            x = F.relu(norm(y, f"{at}.bn3") + x)
        levels.append(x)
    one, two, three = (
        F.relu(layer(level, f"fpn.output{i}")) for i, level in enumerate(levels[1:], 1)
    )
    two = F.relu(layer(two + F.interpolate(three, size=two.shape[2:]), "fpn.merge2"))
    one = F.relu(layer(one + F.interpolate(two, size=one.shape[2:]), "fpn.merge1"))
    said: dict[str, list[Tensor]] = {head: [] for head in HEADS}
    for number, level in enumerate((one, two, three), start=1):
        at = f"ssh{number}"
        shared = F.relu(layer(level, f"{at}.conv5X5_1"))
        seven = layer(F.relu(layer(shared, f"{at}.conv7X7_2")), f"{at}.conv7x7_3")
        parts = [layer(level, f"{at}.conv3X3"), layer(shared, f"{at}.conv5X5_2"), seven]
        feature = F.relu(torch.cat(parts, dim=1))
        for head, values in HEADS.items():
            at = f"{head}.{number - 1}.conv1x1"
            seen = F.conv2d(feature, weights[f"{at}.weight"], weights[f"{at}.bias"])
            said[head].append(seen.permute(0, 2, 3, 1).reshape(len(seen), -1, values))
    logits, boxes, points = (torch.cat(rows, dim=1) for rows in said.values())
    return logits.softmax(dim=2)[:, :, 1], boxes, points.view(len(points), -1, 5, 2)

import json
import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor

from umo.data.schema import Sample
from umo.errors import DiffersError, UsageError
from umo.faces import packs
from umo.faces.packs import (
    FacePack,
    detect_float,
    embed_faces,
    load_pack,
    reference_embeddings,
)


def test_the_open_pack_names_its_origin(pack: FacePack) -> None:
    manifest = json.loads((packs.OPEN_PACK / "manifest.json").read_text())
    assert pack.digest == manifest["digest"]
    assert set(pack.licences) == {"detector", "reward", "judge"}
    for source in manifest["sources"].values():
        assert {"package", "version", "registry", "sha256", "licence"} <= set(source)
    assert type(pack.reward.network) is not type(pack.judge.network)


def test_a_changed_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "faces"
    shutil.copytree(packs.OPEN_PACK, copy)
    with (copy / packs.JUDGE_FILE).open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x7f")
    monkeypatch.setattr(packs, "OPEN_PACK", copy)
    with pytest.raises(DiffersError, match=packs.JUDGE_FILE):
        load_pack("open")


def test_an_unknown_pack() -> None:
    for name in ("closed", "umo", "umo:"):
        with pytest.raises(UsageError, match=f"'{name}'; use open, insightface:<folder>, umo:"):
            load_pack(name)


@pytest.mark.parametrize("role", ["reward", "judge"])
def test_cosines_mean_something(
    pack: FacePack, pictures: Tensor, samples: list[Sample], role: str
) -> None:
    embedder = getattr(pack, role)
    faces = detect_float(pack.detector, pictures)
    found = torch.cat(
        [
            rows[places.boxes[:, 0].argsort()]
            for rows, places in zip(embed_faces(pictures, faces, embedder), faces, strict=True)
        ]
    )
    references = [reference for sample in samples for reference in sample.references]
    floats = [torch.from_numpy(image).permute(2, 0, 1) / 127.5 - 1 for image in references]
    cosines = reference_embeddings(pack, embedder, floats) @ found.T
    same = cosines.diagonal()
    others = cosines[~torch.eye(len(cosines), dtype=torch.bool)]
    assert same.min() > 0.5
    assert abs(others.mean()) < 0.2
    assert (cosines.argmax(dim=1) == torch.arange(len(cosines))).all()


@pytest.mark.parametrize("role", ["reward", "judge"])
def test_photographs_of_different_people_are_not_alike(
    pack: FacePack, photographs: list[Tensor], role: str
) -> None:
    rows = reference_embeddings(pack, getattr(pack, role), photographs)
    others = (rows @ rows.T)[~torch.eye(len(rows), dtype=torch.bool)]
    assert others.median() < 0.25


def test_a_batch_equals_its_pictures_one_by_one(pack: FacePack, pictures: Tensor) -> None:
    faces = detect_float(pack.detector, pictures)
    together = embed_faces(pictures, faces, pack.reward)
    for index, rows in enumerate(together):
        one = pictures[index : index + 1]
        (alone,) = embed_faces(one, faces[index : index + 1], pack.reward)
        torch.testing.assert_close(rows, alone, atol=1e-5, rtol=0)


def test_pictures_without_a_face_give_no_rows(pack: FacePack, pictures: Tensor) -> None:
    mixed = torch.stack([torch.zeros_like(pictures[0]), pictures[0]])
    faces = detect_float(pack.detector, mixed)
    nothing, someone = embed_faces(mixed, faces, pack.judge)
    assert nothing.shape == (0, 128)
    assert len(someone) == 2
    (none,) = embed_faces(mixed[:1], faces[:1], pack.judge)
    assert none.shape == (0, 128)


def test_gradient_reaches_the_pixels_of_the_face_only(pack: FacePack, pictures: Tensor) -> None:
    faces = detect_float(pack.detector, pictures[:1])
    leaf = pictures[:1].clone().requires_grad_()
    (rows,) = embed_faces(leaf, [faces[0].largest()], pack.reward)
    (gradient,) = torch.autograd.grad((rows * rows.detach().roll(1)).sum(), leaf)
    left, _, right, _ = faces[0].largest().boxes[0].round().int().tolist()
    width = pictures.shape[3]
    far = slice(0, width // 4) if left > width // 2 else slice(3 * width // 4, width)
    assert gradient[..., left:right].abs().sum() > 0
    assert not gradient[..., far].any()


def test_a_reference_without_a_face_is_named(pack: FacePack, pictures: Tensor) -> None:
    with pytest.raises(UsageError, match="no face in reference 1"):
        reference_embeddings(pack, pack.reward, [pictures[0], torch.zeros(3, 96, 96)])


def test_no_reference_gives_no_row(pack: FacePack) -> None:
    assert reference_embeddings(pack, pack.reward, []).shape == (0, 512)

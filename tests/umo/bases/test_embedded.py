import numpy as np
import pytest
import torch

from umo.bases import EMBEDDED, load_base
from umo.bases.flux_reference import FluxReference
from umo.data.filters import with_faces
from umo.data.render import RenderConfig, render_samples
from umo.faces.packs import detect_float, embed_faces, load_pack, reference_embeddings
from umo.files import read_manifest
from umo.training.rollout import sample


def to_float(picture):
    return torch.from_numpy(picture).permute(2, 0, 1).float() / 127.5 - 1


@pytest.fixture(scope="module")
def base():
    return load_base()


def test_the_shipped_base_is_a_small_diffusers_folder(base):
    assert isinstance(base, FluxReference)
    assert base.name == "embedded"
    files = [path for path in EMBEDDED.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 45e6
    assert not [path for path in files if path.suffix in (".bin", ".pt", ".pth", ".ckpt")]
    manifest = read_manifest(EMBEDDED, verify=True)
    assert manifest["licence"] == "Apache-2.0"
    assert manifest["config"]["seed"] == 0


def test_it_paints_everyone_and_knows_them_from_strangers(base):
    pack = load_pack("open")
    config = RenderConfig(split="held-out", samples=8, people={2: 1.0}, seed=3)
    samples = list(with_faces(render_samples(config), pack.detector, lambda key: None))
    references = [[to_float(picture) for picture in s.references] for s in samples]
    conditioning = base.encode([s.prompt for s in samples], references)
    seeds = range(len(samples))
    pictures = sample(base, conditioning, height=96, width=192, steps=12, guidance=1.0, seeds=seeds)
    faces = detect_float(pack.detector, pictures)
    assert sum(min(len(found), 2) for found in faces) >= 0.8 * 2 * len(samples)

    painted = embed_faces(pictures, faces, pack.judge)
    own, others = [], []
    known = [reference_embeddings(pack, pack.judge, pictures) for pictures in references]
    for row, embeddings in enumerate(painted):
        if len(embeddings) == 2:
            left_to_right = faces[row].boxes[:, 0].argsort()
            own += (known[row] @ embeddings[left_to_right].T).diagonal().tolist()
            others += (known[(row + 1) % len(known)] @ embeddings.T).flatten().tolist()
    assert np.mean(own) > np.mean(others) + 0.05

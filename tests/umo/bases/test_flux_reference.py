import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from umo.bases import load_base
from umo.bases.embedded import tiny
from umo.bases.flux_reference import FluxReference, pack, position_ids, unpack
from umo.errors import DiffersError, NotFoundError, UmoError, UsageError
from umo.files import write_manifest


@pytest.fixture(scope="module")
def base():
    return tiny(0)


@pytest.fixture(scope="module")
def folder(base, tmp_path_factory):
    path = tmp_path_factory.mktemp("base") / "tiny"
    path.mkdir()
    base.save(path)
    write_manifest(path, {"kind": "base", "name": "tiny"})
    return path


def pictures(count, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return [torch.rand(3, 96, 96, generator=rng) * 2 - 1 for _ in range(count)]


def velocity(base, references, *, seed=0):
    rng = torch.Generator().manual_seed(seed)
    conditioning = base.encode(["Two people in a park"], [references])
    latents = torch.randn(1, *base.latent_shape(96, 192), generator=rng)
    return base.velocity(latents, torch.tensor([0.6]), conditioning, guidance=1.0)


def test_pack_puts_the_channel_first_and_unpack_undoes_it():
    latents = torch.arange(2 * 3 * 4 * 6).reshape(2, 3, 4, 6)
    tokens = pack(latents)
    assert tokens.shape == (2, 6, 12)
    assert tokens[0, 1].tolist() == latents[0, :, 0:2, 2:4].flatten().tolist()
    assert torch.equal(unpack(tokens, 4, 6), latents)


def test_each_reference_starts_at_the_lower_right_corner_of_all_before():
    ids = position_ids([(4, 8), (2, 6), (6, 4)])
    target, first, second = ids[:8], ids[8:11], ids[11:]
    assert ids[:, 0].eq(0).all()
    assert target[5].tolist() == [0, 1, 1]
    assert first[0].tolist() == [0, 2, 4]
    assert second[0].tolist() == [0, 3, 7]
    assert second[-1].tolist() == [0, 5, 8]


def test_sigmas_follow_the_published_shift(base):
    sigmas = base.sigmas(25, 512, 512)
    shift = torch.tensor(0.459375).exp()
    s = torch.tensor(1 - 10 / 25)
    assert sigmas[0] == 1
    assert sigmas[-1] == 0
    assert len(sigmas) == 26
    assert sigmas[10] == pytest.approx(float(shift / (shift + 1 / s - 1)), abs=1e-6)


def test_references_matter_and_so_does_their_order(base):
    one, two = pictures(2)
    there = velocity(base, [one, two])
    assert there.shape == (1, 16, 12, 24)
    assert not torch.allclose(there, velocity(base, [two, one]))
    assert not torch.allclose(there, velocity(base, [one, one]))


def test_a_batch_equals_its_samples(base):
    prompts = ["One person on a beach", "Two people in a park"]
    references = [pictures(2, seed) for seed in range(2)]
    both = base.encode(prompts, references)
    latents = torch.randn(
        2, *base.latent_shape(96, 192), generator=torch.Generator().manual_seed(1)
    )
    sigma = torch.tensor([0.3, 0.8])
    batch = base.velocity(latents, sigma, both, guidance=1.0)
    for row in range(2):
        alone = base.velocity(
            latents[row : row + 1], sigma[row : row + 1], both[[row]], guidance=1.0
        )
        assert torch.allclose(batch[row], alone[0], atol=1e-5)


def test_decoding_has_a_gradient_and_no_clamp(base):
    latents = (20 * torch.randn(1, 16, 12, 12)).requires_grad_()
    painted = base.decode(latents)
    painted.square().mean().backward()
    assert latents.grad is not None
    assert bool(latents.grad.abs().sum() > 0)


def test_a_saved_folder_loads_the_same(base, folder):
    loaded = FluxReference.load(folder)
    assert torch.allclose(velocity(loaded, pictures(2)), velocity(base, pictures(2)), atol=1e-5)
    tokens = [b.parts.tokenizer(["Two people in a park"]).input_ids for b in (base, loaded)]
    assert tokens[0] == tokens[1]
    index = json.loads((folder / "model_index.json").read_text())
    assert index["_class_name"] == "FluxPipeline"
    assert index["transformer"] == ["diffusers", "FluxTransformer2DModel"]


def test_a_fresh_lora_changes_nothing_and_only_lora_trains(base):
    before = velocity(base, pictures(2))
    parameters = base.add_lora(4, seed=1)
    try:
        assert torch.equal(velocity(base, pictures(2)), before)
        trainable = [n for n, p in base.transformer.named_parameters() if p.requires_grad]
        assert len(trainable) == len(parameters) == 2 * len(base.lora_targets())
        assert all("lora_" in name for name in trainable)
    finally:
        base.without_lora()
    assert torch.equal(velocity(base, pictures(2)), before)


@pytest.fixture
def lora(base, tmp_path):
    for parameter in base.add_lora(4, seed=2):
        torch.nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(3))
    tuned = velocity(base, pictures(2))
    base.save_lora(tmp_path / "lora.safetensors")
    base.without_lora()
    return tmp_path / "lora.safetensors", tuned


def test_a_saved_lora_loads_the_same(base, lora):
    path, tuned = lora
    base.load_lora(path)
    assert torch.equal(velocity(base, pictures(2)), tuned)
    base.without_lora()


@pytest.mark.parametrize("fault", ["missing", "renamed", "shape"])
def test_a_lora_that_does_not_fit_is_refused_with_its_keys(base, lora, fault):
    path, _ = lora
    tensors = load_file(path)
    key = sorted(tensors)[0]
    tensor = tensors.pop(key)
    if fault == "renamed":
        tensors[key.replace("to_", "go_")] = tensor
    if fault == "shape":
        tensors[key] = torch.cat((tensor, tensor), dim=1)
    save_file(tensors, path)
    with pytest.raises(DiffersError) as caught:
        base.load_lora(path)
    assert key.removeprefix("transformer.") in str(caught.value)
    assert not hasattr(base.transformer, "peft_config") or not base.transformer.peft_config


def test_wrong_folders_and_files_are_one_clear_line(base, folder, tmp_path):
    with pytest.raises(NotFoundError, match="no base"):
        load_base(str(tmp_path))
    with pytest.raises(NotFoundError, match="no LoRA"):
        base.load_lora(tmp_path / "none.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"not a file")
    with pytest.raises(UsageError, match="no safetensors"):
        base.load_lora(tmp_path / "bad.safetensors")
    with pytest.raises(UsageError, match="multiples of 16"):
        base.latent_shape(100, 96)


def test_a_changed_weight_is_refused(folder, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    weights = copy / "transformer" / "diffusion_pytorch_model.safetensors"
    changed = bytearray(weights.read_bytes())
    changed[-1] ^= 1
    weights.write_bytes(changed)
    with pytest.raises(UmoError, match="sha256"):
        FluxReference.load(copy)

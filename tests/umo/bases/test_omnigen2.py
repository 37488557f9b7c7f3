"""OmniGen2 behind the protocol: text, time, guidance, sizes, folder and LoRA."""

import itertools
import json
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from umo.bases import load_base
from umo.bases.lora import sizes_of
from umo.bases.omnigen2 import OmniGen2, chat, lora_targets
from umo.bases.omnigen2_schedule import DualGuidance
from umo.bases.omnigen2_tiny import tiny
from umo.bases.omnigen2_transformer import OmniGen2Transformer2DModel
from umo.bases.protocol import Conditioning
from umo.errors import DiffersError, NotFoundError, UmoError, UsageError
from umo.files import write_manifest
from umo.formats.lora import DIFFUSERS, gather, rank, scatter
from umo.formats.omnigen2 import COMFYUI, NAMES, read_any
from umo.training.rollout import sample

PROMPTS = ["A man", "Two people side by side in a park"]


@pytest.fixture(scope="module")
def base():
    return tiny(0)


@pytest.fixture
def dual(base):
    """Set what guidance needs, until the test ends."""
    before = base.dual

    def set_to(**values):
        base.dual = replace(before, **values)

    yield set_to
    base.dual = before


@pytest.fixture(scope="module")
def folder(base, tmp_path_factory):
    path = tmp_path_factory.mktemp("base") / "tiny"
    path.mkdir()
    base.save(path)
    (path / "guidance.json").write_text('{"image": 3.0}')
    write_manifest(path, {"kind": "base", "name": "tiny"})
    return path


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def pictures(seed=0):
    rng = torch.Generator().manual_seed(seed)
    return [torch.rand(3, *size, generator=rng) * 2 - 1 for size in ((64, 48), (48, 80))]


@pytest.fixture(scope="module")
def conditioning(base):
    return base.encode(PROMPTS, [pictures(0), pictures(1)])


LATENTS = noise(2, 16, 8, 12)
SIGMA = torch.tensor([0.9, 0.3])


def flow(base, kind, conditioning, time):
    """OmniGen2's own velocity, straight from its transformer."""
    if kind == "full":
        text, lengths = conditioning.text, conditioning.lengths
    else:
        text, lengths = base.encode_text([base.dual.negative_prompt] * len(time))
    references = () if kind == "nothing" else conditioning.references
    with torch.no_grad():
        return base.transformer(
            LATENTS,
            time,
            text,
            (torch.arange(text.shape[1]) < lengths[:, None]).long(),
            [[slot[row] for slot in references] for row in range(2)],
        )


def test_time_runs_the_other_way_and_so_does_the_velocity(base, conditioning):
    velocity = base.velocity(LATENTS, SIGMA, conditioning, guidance=1.0)
    assert torch.allclose(velocity, -flow(base, "full", conditioning, 1 - SIGMA), atol=1e-6)
    time = (1 - SIGMA)[:, None, None, None]
    ahead = LATENTS + (1 - time) * flow(base, "full", conditioning, 1 - SIGMA)
    assert torch.allclose(LATENTS - (1 - time) * velocity, ahead, atol=1e-5)


def test_sigmas_are_one_minus_the_published_times(base):
    sigmas = base.sigmas(4, 1024, 1024)
    assert sigmas.dtype == torch.float32
    assert sigmas.tolist() == pytest.approx([1, 1 - 0.25 / 2.65, 1 - 0.5 / 2.1, 1 - 0.75 / 1.55, 0])


@torch.no_grad()
@pytest.mark.parametrize(("guidance", "image"), [(5.0, 2.0), (5.0, 1.0), (1.0, 2.0)])
def test_guidance_combines_the_three_velocities(base, conditioning, dual, guidance, image):
    dual(image=image)
    c, r, u = (flow(base, k, conditioning, 1 - SIGMA) for k in ("full", "references", "nothing"))
    expected = c
    if guidance > 1 and image > 1:
        expected = u + image * (r - u) + guidance * (c - r)
    elif guidance > 1:
        expected = u + guidance * (c - u)
    velocity = base.velocity(LATENTS, SIGMA, conditioning, guidance=guidance)
    assert torch.allclose(-velocity, expected, atol=1e-4)


@torch.no_grad()
def test_without_references_only_the_text_guides(base):
    plain = base.encode(PROMPTS, [[], []])
    assert plain.references == ()
    c, u = (flow(base, kind, plain, 1 - SIGMA) for kind in ("full", "nothing"))
    velocity = base.velocity(LATENTS, SIGMA, plain, guidance=5.0)
    assert torch.allclose(-velocity, u + 5 * (c - u), atol=1e-4)


@torch.no_grad()
def test_guidance_keeps_to_its_part_of_the_steps_ends_included(base, conditioning, dual):
    sigmas = base.sigmas(10, 64, 96)
    for step, guided in enumerate([False, False, *[True] * 5, *[False] * 3]):
        pair = torch.stack([sigmas[step], sigmas[4]])
        dual(first=0.0, last=1.0)
        whole = base.velocity(LATENTS, pair, conditioning, guidance=5.0)
        plain = base.velocity(LATENTS, pair, conditioning, guidance=1.0)
        dual(first=0.2, last=0.6)
        limited = base.velocity(LATENTS, pair, conditioning, guidance=5.0)
        assert torch.equal(limited[0], (whole if guided else plain)[0])
        assert torch.equal(limited[1], whole[1])


@torch.no_grad()
def test_a_roll_out_is_the_published_loop(base, conditioning):
    steps, guidance = 4, 5.0
    painted = sample(
        base, conditioning, height=64, width=96, steps=steps, guidance=guidance, seeds=[0, 1]
    )
    m = (8 * 12) ** 0.5 / 40
    times = [u / (m - m * u + u) for u in (i / steps for i in range(steps))] + [1.0]
    starts = [torch.randn(16, 8, 12, generator=torch.Generator().manual_seed(s)) for s in (0, 1)]
    for row, x in enumerate(starts):
        one = conditioning[[row]]
        negative, length = base.encode_text([base.dual.negative_prompt])
        references = [slot[0] for slot in one.references]
        for t, following in itertools.pairwise(times):

            def run(text, count, own, x=x, t=t):
                mask = torch.ones(1, int(count), dtype=torch.long)
                text = text[:, : int(count)]
                return base.transformer(x[None], torch.tensor([t]), text, mask, [own])[0]

            c = run(one.text, one.lengths, references)
            r = run(negative, length, references)
            u = run(negative, length, None)
            x = x + (following - t) * (u + 2.0 * (r - u) + guidance * (c - r))
        expected = base.parts.vae.decode((x[None] / 0.3611) + 0.1159).sample[0]
        assert torch.allclose(painted[row], expected, atol=2e-3)


def test_the_text_is_the_chat_template_and_its_last_hidden_state(base):
    assert chat("A man") == (
        "<|im_start|>system\nYou are a helpful assistant that generates high-quality images based "
        "on user instructions.<|im_end|>\n<|im_start|>user\nA man<|im_end|>\n"
    )
    tokens = base.parts.tokenizer(chat("A man"), return_tensors="pt")
    with torch.no_grad():
        states = base.parts.mllm(**tokens, output_hidden_states=True).hidden_states[-1]
        features, lengths = base.encode_text(["A man"])
    assert torch.equal(features, states)
    assert lengths.tolist() == [tokens["input_ids"].shape[1]]
    assert tokens["input_ids"][0, 0] == base.parts.tokenizer.convert_tokens_to_ids("<|im_start|>")


def test_a_prompt_is_encoded_alike_alone_and_in_a_batch_and_cut_at_1024_tokens(base):
    with torch.no_grad():
        both, lengths = base.encode_text(PROMPTS)
        alone, _ = base.encode_text(PROMPTS[:1])
        long, most = base.encode_text(["word " * 3000])
    assert lengths[0] < lengths[1] == both.shape[1]
    assert torch.allclose(both[0, : int(lengths[0])], alone[0], atol=1e-5)
    assert most.tolist() == [1024]
    assert long.shape[1] == 1024


@torch.no_grad()
def test_a_batch_equals_its_samples_also_when_joined(base, conditioning):
    batch = base.velocity(LATENTS, SIGMA, conditioning, guidance=4.0)
    rows = [base.encode([PROMPTS[row]], [pictures(row)]) for row in range(2)]
    assert rows[0].text.shape[1] < rows[1].text.shape[1]
    joined = Conditioning.joined(rows)
    assert joined.lengths.tolist() == conditioning.lengths.tolist()
    together = base.velocity(LATENTS, SIGMA, joined, guidance=4.0)
    for row in range(2):
        at = slice(row, row + 1)
        alone = base.velocity(LATENTS[at], SIGMA[at], rows[row], guidance=4.0)[0]
        assert torch.allclose(batch[row], alone, atol=1e-4)
        assert torch.allclose(together[row], alone, atol=1e-4)


def test_pictures_are_encoded_to_the_mean_and_scaled_as_fluxs(base):
    images = torch.stack(pictures()[:1])
    raw = base.parts.vae.encode(images).latent_dist.mean
    latents = base.encode_images(images)
    assert torch.allclose(latents, (raw - 0.1159) * 0.3611)
    assert latents.shape[1:] == base.latent_shape(64, 48)
    assert torch.allclose(base.decode(latents), base.parts.vae.decode(raw).sample, atol=1e-5)
    latents.requires_grad_()
    base.decode(latents).square().mean().backward()
    assert bool(latents.grad.abs().sum() > 0)


def test_references_are_resized_as_published(base):
    conditioning = base.encode(["A man"], [[torch.zeros(3, 50, 100)]])
    assert conditioning.references[0].shape == (1, 16, 6, 12)


def test_what_it_cannot_paint_is_one_clear_line(base):
    with pytest.raises(UsageError, match="one number of them"):
        base.encode(PROMPTS, [pictures(), pictures()[:1]])
    with pytest.raises(UsageError, match="48 x 64 and 80 x 48 px in one slot"):
        base.encode(PROMPTS, [pictures()[:1], pictures()[1:]])
    with pytest.raises(UsageError, match="multiples of 16"):
        base.latent_shape(100, 96)
    six = base.encode(["A man"], [pictures() * 3])
    with pytest.raises(UsageError, match="6 references, OmniGen2 takes at most 5"):
        base.velocity(LATENTS[:1], SIGMA[:1], six, guidance=1.0)


def test_a_saved_folder_loads_the_same(base, folder, conditioning):
    loaded = load_base(str(folder))
    assert isinstance(loaded, OmniGen2)
    assert (loaded.name, loaded.dual) == ("tiny", DualGuidance(image=3.0))
    again = loaded.encode(PROMPTS, [pictures(0), pictures(1)])
    assert torch.equal(again.text, conditioning.text)
    one, other = (model.velocity(LATENTS, SIGMA, again, guidance=1.0) for model in (base, loaded))
    assert torch.equal(one, other)
    index = json.loads((folder / "model_index.json").read_text())
    assert index["_class_name"] == "OmniGen2Pipeline"
    assert {path.name for path in folder.iterdir() if path.is_dir()} == {
        *("transformer", "vae", "mllm", "processor", "scheduler"),
    }


@pytest.fixture
def copy(folder, tmp_path):
    """A folder to spoil; called, it closes it again."""
    path = tmp_path / "copy"
    shutil.copytree(folder, path)
    (path / "manifest.json").unlink()

    def close():
        write_manifest(path, {"kind": "base", "name": "copy"})
        return str(path)

    return path, close


@pytest.mark.parametrize(
    ("part", "file", "key"),
    [
        ("transformer", "diffusion_pytorch_model", "layers.0.attn.norm_q.weight"),
        ("mllm", "model", "model.norm.weight"),
    ],
)
@pytest.mark.parametrize("fault", ["missing", "renamed", "shape"])
def test_weights_that_do_not_fit_are_refused_by_name(copy, part, file, key, fault):
    path, close = copy
    weights = path / part / f"{file}.safetensors"
    tensors = load_file(weights)
    tensor = tensors.pop(key)
    if fault == "renamed":
        tensors[f"{key}s"] = tensor
    if fault == "shape":
        tensors[key] = torch.cat((tensor, tensor))
    save_file(tensors, weights, metadata={"format": "pt"})
    with pytest.raises(UsageError, match=part) as caught:
        load_base(close())
    assert key.removeprefix("model.") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("part", ["transformer", "vae", "mllm", "processor", "scheduler"])
def test_a_folder_that_lacks_a_part_is_refused(copy, part):
    path, close = copy
    shutil.rmtree(path / part)
    with pytest.raises(NotFoundError, match=f"it has no {part}"):
        load_base(close())


def test_a_changed_file_and_a_damaged_index_are_refused(copy, folder):
    path, close = copy
    shutil.copy(folder / "manifest.json", path)
    with (path / "vae" / "config.json").open("a") as config:
        config.write(" ")
    with pytest.raises(DiffersError, match="sha256"):
        load_base(str(path))
    (path / "model_index.json").write_text("[]")
    with pytest.raises(UsageError, match="names no _class_name"):
        load_base(close())
    with pytest.raises(NotFoundError, match="no base"):
        load_base(str(path / "vae"))


def test_guidance_is_sealed_with_the_rest(folder, copy, tmp_path):
    path, close = copy
    (path / "guidance.json").write_text('{"picture": 3.0}')
    with pytest.raises(UsageError, match="unknown key 'picture'"):
        load_base(close())
    (path / "guidance.json").write_text("[1]")
    with pytest.raises(UsageError, match=r"guidance\.json"):
        load_base(close())
    (path / "guidance.json").unlink()
    assert load_base(close()).dual == DualGuidance()
    (path / "guidance.json").write_text('{"image": 3.0}')
    with pytest.raises(DiffersError, match="came after the folder was sealed"):
        load_base(str(path))
    again = tmp_path / "again"
    again.mkdir()
    load_base(str(folder)).save(again)
    assert json.loads((again / "guidance.json").read_text())["image"] == 3.0


def velocity(base, conditioning):
    with torch.no_grad():
        return base.velocity(LATENTS, SIGMA, conditioning, guidance=1.0)


@pytest.fixture(scope="module")
def full_sizes():
    """Of the layers that LoRA adapts in the released transformer, without its weights."""
    with torch.device("meta"):
        model = OmniGen2Transformer2DModel(
            hidden_size=2520,
            num_layers=32,
            num_attention_heads=21,
            num_kv_heads=7,
            axes_dim_rope=(40, 40, 40),
            text_feat_dim=2048,
        )
    return sizes_of(model, lora_targets(model))


def test_umos_file_has_304_tensors(full_sizes):
    keys = [key for layer in full_sizes for key in NAMES.keys(layer)]
    assert len(keys) == 304
    assert "layers.0.attn.to_q.lora_A.default.weight" in keys
    assert "context_refiner.1.attn.to_out.0.lora_B.default.weight" in keys
    assert full_sizes["layers.31.attn.to_k"] == (2520, 840)
    assert sum(512 * (inputs + outputs) for inputs, outputs in full_sizes.values()) == 326_860_800


def test_all_of_umos_tensors_are_read_and_written_bit_by_bit(full_sizes):
    rng = torch.Generator().manual_seed(0)
    tensors = {}
    for layer, (inputs, outputs) in full_sizes.items():
        down, up = NAMES.keys(layer)
        tensors[down] = torch.randn(8, inputs, generator=rng)
        tensors[up] = torch.randn(outputs, 8, generator=rng)
    lora = read_any(tensors, full_sizes)
    assert rank(lora) == 8
    again = scatter(lora, NAMES)
    assert again.keys() == tensors.keys()
    assert all(torch.equal(again[key], tensors[key]) for key in tensors)
    for names in (DIFFUSERS, COMFYUI):
        assert all(
            torch.equal(pair.up, lora[layer].up)
            for layer, pair in read_any(scatter(lora, names), full_sizes).items()
        )


def test_a_fresh_lora_changes_nothing_and_only_lora_trains(base, conditioning):
    before = velocity(base, conditioning)
    parameters = base.add_lora(4, seed=1)
    try:
        assert torch.equal(velocity(base, conditioning), before)
        trainable = [n for n, p in base.transformer.named_parameters() if p.requires_grad]
        assert len(trainable) == len(parameters) == 2 * len(base.lora_targets())
        assert len(base.lora_targets()) == 4 * 5
        assert all("lora_" in name for name in trainable)
    finally:
        base.without_lora()
    assert torch.equal(velocity(base, conditioning), before)


@pytest.fixture
def lora(base, conditioning, tmp_path):
    for parameter in base.add_lora(4, seed=2):
        torch.nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(3))
    tuned = velocity(base, conditioning)
    with base.lora_off():
        assert not torch.allclose(velocity(base, conditioning), tuned)
    base.save_lora(tmp_path / "lora.safetensors")
    base.without_lora()
    return tmp_path / "lora.safetensors", tuned


@pytest.mark.parametrize("names", [NAMES, DIFFUSERS, COMFYUI])
def test_a_saved_lora_loads_the_same_under_every_name(base, conditioning, lora, names):
    path, tuned = lora
    tensors = load_file(path)
    assert "layers.0.attn.to_q.lora_A.default.weight" in tensors
    save_file(scatter(gather(tensors, base.lora_sizes(), NAMES), names), path)
    base.load_lora(path)
    assert torch.equal(velocity(base, conditioning), tuned)
    base.without_lora()


def test_a_merged_lora_paints_the_same(conditioning, lora):
    path, tuned = lora
    base = tiny(0)
    base.load_lora(path)
    base.merge_lora()
    assert torch.allclose(velocity(base, conditioning), tuned, atol=1e-4)
    assert len(base.transformer.state_dict()) == len(tiny(0).transformer.state_dict())


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
    assert key in str(caught.value)
    assert not getattr(base.transformer, "peft_config", None)


def test_wrong_lora_files_are_one_clear_line(base, tmp_path):
    with pytest.raises(NotFoundError, match="no LoRA"):
        base.load_lora(tmp_path / "none.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"not a file")
    with pytest.raises(UmoError, match="no safetensors"):
        base.load_lora(tmp_path / "bad.safetensors")

"""The transformer against a slow second derivation: float64, one sample, one head, one token."""

import math

import pytest
import torch

from umo.bases.omnigen2_rope import position_ids, rotations
from umo.bases.omnigen2_transformer import (
    OmniGen2Transformer2DModel,
    patchify,
    sinusoids,
    unpatchify,
)
from umo.errors import UsageError
from umo.training.memory import recompute_blocks

RELEASED = {
    "hidden_size": 2520,
    "num_layers": 32,
    "num_attention_heads": 21,
    "num_kv_heads": 7,
    "axes_dim_rope": (40, 40, 40),
    "axes_lens": (1024, 1664, 1664),
    "text_feat_dim": 2048,
    "timestep_scale": 1000.0,
}
SMALL = {
    "in_channels": 4,
    "hidden_size": 72,
    "num_layers": 2,
    "num_refiner_layers": 2,
    "num_attention_heads": 6,
    "num_kv_heads": 2,
    "multiple_of": 32,
    "axes_dim_rope": (4, 4, 4),
    "axes_lens": (40, 30, 30),
    "text_feat_dim": 20,
    "timestep_scale": 1000.0,
}
HEADS, GROUPS, AXIS = 6, 2, 4


def randomise(model, seed):
    rng = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        values = torch.randn(parameter.shape, generator=rng)
        scale = 0.3 if parameter.ndim == 1 else parameter.shape[-1] ** -0.5
        centre = 1.0 if "norm" in name and parameter.ndim == 1 and "linear" not in name else 0.0
        parameter.data.copy_(centre + scale * values)
    return model


@pytest.fixture(scope="module")
def model():
    return randomise(OmniGen2Transformer2DModel(**SMALL), 0).eval()


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def batch():
    """Three samples: two references of unlike sizes, none, three."""
    return {
        "hidden_states": [noise(4, 8, 4), noise(4, 4, 6, seed=1), noise(4, 6, 6, seed=2)],
        "timestep": torch.tensor([0.1, 0.55, 0.9]),
        "text_hidden_states": noise(3, 7, 20, seed=3),
        "text_attention_mask": torch.tensor([[1] * 5 + [0] * 2, [1] * 7, [1] * 2 + [0] * 5]),
        "ref_image_hidden_states": [
            [noise(4, 4, 10, seed=4), noise(4, 6, 2, seed=5)],
            None,
            [noise(4, 4, 4, seed=6), noise(4, 2, 6, seed=7), noise(4, 4, 4, seed=8)],
        ],
    }


def derive(weights, latents, time, text, references):
    """One sample's velocity, by the equations, without any code of the model."""
    weights = {key: value.double() for key, value in weights.items()}

    def linear(x, name):
        out = x @ weights[f"{name}.weight"].T
        return out + weights[f"{name}.bias"] if f"{name}.bias" in weights else out

    def silu(x):
        return x / (1 + torch.exp(-x))

    def rms(x, weight):
        return x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-5) * weights[weight]

    def turned(x, positions):
        out = x.clone()
        for token, position in enumerate(positions):
            for axis in range(3):
                for pair in range(AXIS // 2):
                    angle = position[axis] * 10000.0 ** (-2 * pair / AXIS)
                    at = axis * AXIS + 2 * pair
                    a, b = x[token, at], x[token, at + 1]
                    out[token, at] = a * math.cos(angle) - b * math.sin(angle)
                    out[token, at + 1] = a * math.sin(angle) + b * math.cos(angle)
        return out

    def attention(x, positions, name):
        q, k, v = (linear(x, f"{name}.to_{part}") for part in "qkv")
        size = q.shape[1] // HEADS
        heads = []
        for head in range(HEADS):
            mine, shared = slice(head * size, (head + 1) * size), head // (HEADS // GROUPS)
            theirs = slice(shared * size, (shared + 1) * size)
            query = turned(rms(q[:, mine], f"{name}.norm_q.weight"), positions)
            key = turned(rms(k[:, theirs], f"{name}.norm_k.weight"), positions)
            scores = torch.softmax(query @ key.T / math.sqrt(size), dim=-1)
            heads.append(scores @ v[:, theirs])
        return linear(torch.cat(heads, dim=1), f"{name}.to_out.0")

    def feed(x, name):
        return linear(
            silu(linear(x, f"{name}.linear_1")) * linear(x, f"{name}.linear_3"), f"{name}.linear_2"
        )

    def block(x, positions, name):
        if f"{name}.norm1.weight" in weights:
            attended = attention(rms(x, f"{name}.norm1.weight"), positions, f"{name}.attn")
            x = x + rms(attended, f"{name}.norm2.weight")
            fed = feed(rms(x, f"{name}.ffn_norm1.weight"), f"{name}.feed_forward")
            return x + rms(fed, f"{name}.ffn_norm2.weight")
        s1, g1, s2, g2 = linear(silu(temb), f"{name}.norm1.linear").chunk(4)
        scaled = rms(x, f"{name}.norm1.norm.weight") * (1 + s1)
        attended = attention(scaled, positions, f"{name}.attn")
        x = x + torch.tanh(g1) * rms(attended, f"{name}.norm2.weight")
        scaled = rms(x, f"{name}.ffn_norm1.weight") * (1 + s2)
        fed = feed(scaled, f"{name}.feed_forward")
        return x + torch.tanh(g2) * rms(fed, f"{name}.ffn_norm2.weight")

    def tokens(image):
        rows = []
        for row in range(0, image.shape[1], 2):
            for column in range(0, image.shape[2], 2):
                values = []
                for dy in (0, 1):
                    for dx in (0, 1):
                        values += [image[c, row + dy, column + dx] for c in range(len(image))]
                rows.append(torch.stack(values))
        return torch.stack(rows).double()

    def places(start, image):
        rows, columns = image.shape[1] // 2, image.shape[2] // 2
        grid = [(start, row, column) for row in range(rows) for column in range(columns)]
        return grid, start + max(rows, columns)

    frequencies = torch.exp(-math.log(10000) * torch.arange(128).float() / 128)
    angles = (time.float() * frequencies) * 1000.0
    features = torch.cat([torch.cos(angles), torch.sin(angles)]).double()
    prefix = "time_caption_embed.timestep_embedder"
    temb = linear(silu(linear(features, f"{prefix}.linear_1")), f"{prefix}.linear_2")

    text = rms(text.double(), "time_caption_embed.caption_embedder.0.weight")
    text = linear(text, "time_caption_embed.caption_embedder.1")
    words = [(i, i, i) for i in range(len(text))]
    for index in range(2):
        text = block(text, words, f"context_refiner.{index}")

    sequence, positions, start = [text], list(words), len(text)
    for number, reference in enumerate(references):
        grid, start = places(start, reference)
        x = linear(tokens(reference), "ref_image_patch_embedder")
        x = x + weights["image_index_embedding"][number]
        for index in range(2):
            x = block(x, grid, f"ref_image_refiner.{index}")
        sequence.append(x)
        positions += grid
    grid, _ = places(start, latents)
    x = linear(tokens(latents), "x_embedder")
    for index in range(2):
        x = block(x, grid, f"noise_refiner.{index}")
    sequence.append(x)
    positions += grid

    x = torch.cat(sequence)
    for index in range(2):
        x = block(x, positions, f"layers.{index}")
    centred = x - x.mean(-1, keepdim=True)
    normal = centred / torch.sqrt((centred * centred).mean(-1, keepdim=True) + 1e-6)
    x = linear(normal * (1 + linear(silu(temb), "norm_out.linear_1")), "norm_out.linear_2")
    x = x[-len(grid) :]
    out = torch.zeros(latents.shape, dtype=torch.float64)
    for token, (_, row, column) in enumerate(grid):
        values = iter(x[token])
        for dy in (0, 1):
            for dx in (0, 1):
                for channel in range(len(latents)):
                    out[channel, 2 * row + dy, 2 * column + dx] = next(values)
    return out


@torch.no_grad()
def test_it_agrees_with_the_second_derivation(model, batch):
    velocities = model(**batch)
    assert isinstance(velocities, list)
    for row, velocity in enumerate(velocities):
        length = int(batch["text_attention_mask"][row].sum())
        expected = derive(
            model.state_dict(),
            batch["hidden_states"][row],
            batch["timestep"][row],
            batch["text_hidden_states"][row, :length],
            batch["ref_image_hidden_states"][row] or [],
        )
        assert expected.std() > 0.1
        assert (velocity - expected).abs().max() < 1e-5


def test_names_shapes_and_size_are_those_of_the_released_checkpoint():
    with torch.device("meta"):
        state = OmniGen2Transformer2DModel(**RELEASED).state_dict()
    expected = {
        "image_index_embedding": (5, 2520),
        "norm_out.linear_1.weight": (2520, 1024),
        "norm_out.linear_1.bias": (2520,),
        "norm_out.linear_2.weight": (64, 2520),
        "norm_out.linear_2.bias": (64,),
    }
    for name in ("x_embedder", "ref_image_patch_embedder"):
        expected |= {f"{name}.weight": (2520, 64), f"{name}.bias": (2520,)}
    embed = "time_caption_embed"
    for name, inner in (("linear_1", 256), ("linear_2", 1024)):
        expected[f"{embed}.timestep_embedder.{name}.weight"] = (1024, inner)
        expected[f"{embed}.timestep_embedder.{name}.bias"] = (1024,)
    expected[f"{embed}.caption_embedder.0.weight"] = (2048,)
    expected[f"{embed}.caption_embedder.1.weight"] = (2520, 2048)
    expected[f"{embed}.caption_embedder.1.bias"] = (2520,)
    names = [f"{part}_refiner.{i}" for part in ("context", "noise", "ref_image") for i in (0, 1)]
    for name in (*names, *(f"layers.{i}" for i in range(32))):
        for norm in ("attn.norm_q", "attn.norm_k"):
            expected[f"{name}.{norm}.weight"] = (120,)
        for linear, out in (("to_q", 2520), ("to_k", 840), ("to_v", 840), ("to_out.0", 2520)):
            expected[f"{name}.attn.{linear}.weight"] = (out, 2520)
        for linear in ("linear_1", "linear_3"):
            expected[f"{name}.feed_forward.{linear}.weight"] = (10240, 2520)
        expected[f"{name}.feed_forward.linear_2.weight"] = (2520, 10240)
        for norm in ("norm2", "ffn_norm1", "ffn_norm2"):
            expected[f"{name}.{norm}.weight"] = (2520,)
        if name.startswith("context"):
            expected[f"{name}.norm1.weight"] = (2520,)
        else:
            expected[f"{name}.norm1.norm.weight"] = (2520,)
            expected[f"{name}.norm1.linear.weight"] = (10080, 1024)
            expected[f"{name}.norm1.linear.bias"] = (10080,)
    assert {key: tuple(value.shape) for key, value in state.items()} == expected
    assert len(state) == 582
    assert sum(value.numel() for value in state.values()) == 3_967_161_400


def test_a_fresh_model_is_silent(batch):
    fresh = OmniGen2Transformer2DModel(**SMALL)
    assert all(velocity.eq(0).all() for velocity in fresh(**batch))


def test_positions_of_a_small_case():
    ids = position_ids(2, [(1, 3), (2, 1), (2, 2)])
    assert ids.tolist() == [
        *([0, 0, 0], [1, 1, 1]),
        *([2, 0, 0], [2, 0, 1], [2, 0, 2]),
        *([5, 0, 0], [5, 1, 0]),
        *([7, 0, 0], [7, 0, 1], [7, 1, 0], [7, 1, 1]),
    ]


def test_rotations_follow_the_axes_in_order():
    angle = rotations(torch.tensor([[1, 2, 3]]), (4, 4, 4), (9, 9, 9), torch.device("cpu")).angle()
    assert angle.dtype == torch.float64
    assert angle[0].tolist() == pytest.approx([1, 0.01, 2, 0.02, 3, 0.03])


def test_sinusoids_begin_with_the_cosine_in_the_published_order_of_products():
    t = torch.tensor([0.3, 0.7])
    features = sinusoids(t, 1000.0)
    assert features.shape == (2, 256)
    frequency = torch.exp(torch.tensor(-math.log(10000)) * 5 / 128)
    for row in range(2):
        angle = (t[row] * frequency) * 1000.0
        assert features[row, 5] == angle.cos()
        assert features[row, 128 + 5] == angle.sin()


def test_patches_have_the_channel_last_and_go_back():
    latents = torch.arange(3 * 4 * 6).reshape(3, 4, 6)
    patches = patchify(latents, 2)
    assert patches[1].tolist() == latents[:, 0:2, 2:4].permute(1, 2, 0).flatten().tolist()
    assert torch.equal(unpatchify(patches, 4, 6, 2), latents)


@torch.no_grad()
def test_a_batch_equals_its_samples_and_padding_does_not_count(model, batch):
    together = model(**batch)
    longer = dict(batch)
    longer["text_hidden_states"] = torch.cat(
        [batch["text_hidden_states"], torch.full((3, 4, 20), 1e3)], dim=1
    )
    longer["text_attention_mask"] = torch.nn.functional.pad(batch["text_attention_mask"], (0, 4))
    for row, (velocity, padded) in enumerate(zip(together, model(**longer), strict=True)):
        alone = model(
            batch["hidden_states"][row][None],
            batch["timestep"][row : row + 1],
            batch["text_hidden_states"][row : row + 1],
            batch["text_attention_mask"][row : row + 1],
            batch["ref_image_hidden_states"][row : row + 1],
        )
        assert isinstance(alone, torch.Tensor)
        assert torch.allclose(velocity, alone[0], atol=1e-5)
        assert torch.allclose(velocity, padded, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("index_embedding", [True, False])
def test_the_order_of_references_matters_by_index_and_by_place(batch, index_embedding):
    model = randomise(OmniGen2Transformer2DModel(**SMALL), 0)
    if not index_embedding:
        model.image_index_embedding.zero_()
    first, middle, last = batch["ref_image_hidden_states"][2]
    rest = {key: value[2:] for key, value in batch.items() if key != "ref_image_hidden_states"}
    one, other = (
        model(**rest, ref_image_hidden_states=[own])[0]
        for own in ([first, middle, last], [last, middle, first])
    )
    assert (one - other).abs().max() > 1e-3


@pytest.mark.parametrize("references", ["none", "mixed"])
def test_without_references_gradients_are_finite_and_never_none(model, batch, references):
    model.zero_grad()
    if references == "none":
        batch["ref_image_hidden_states"] = None
    sum(velocity.square().sum() for velocity in model(**batch)).backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    assert all(g is not None and bool(g.isfinite().all()) for g in gradients.values())
    own = [g for n, g in gradients.items() if n.startswith(("ref_image", "image_index"))]
    assert all(bool(g.any()) == (references == "mixed") for g in own)
    assert all(bool(gradients[n].any()) for n in gradients if n.startswith(("layers", "noise")))
    model.zero_grad()


def test_recomputed_blocks_give_the_same_gradients(batch):
    gradients = []
    for recompute in (False, True):
        model = randomise(OmniGen2Transformer2DModel(**SMALL), 0)
        if recompute:
            recompute_blocks(model)
        sum(velocity.square().sum() for velocity in model(**batch)).backward()
        gradients.append([p.grad for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


@torch.no_grad()
def test_bfloat16_stays_bfloat16(batch):
    model = randomise(OmniGen2Transformer2DModel(**SMALL), 0).bfloat16()
    halves = {
        "hidden_states": [x.bfloat16() for x in batch["hidden_states"]],
        "timestep": batch["timestep"].bfloat16(),
        "text_hidden_states": batch["text_hidden_states"].bfloat16(),
        "text_attention_mask": batch["text_attention_mask"],
        "ref_image_hidden_states": [
            [x.bfloat16() for x in own or ()] for own in batch["ref_image_hidden_states"]
        ],
    }
    assert all(velocity.dtype == torch.bfloat16 for velocity in model(**halves))


def test_what_it_does_not_know_is_one_clear_line(model, batch):
    image = noise(4, 2, 2)
    with pytest.raises(UsageError, match="6 references, OmniGen2 takes at most 5"):
        model(**{**batch, "ref_image_hidden_states": [[image] * 6, None, None]})
    wide = [noise(4, 2, 60), *batch["hidden_states"][1:]]
    model(**{**batch, "hidden_states": wide})
    wide[0] = noise(4, 2, 62)
    with pytest.raises(UsageError, match="this model knows those below") as caught:
        model(**{**batch, "hidden_states": wide})
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="padded on the right"):
        model(**{**batch, "text_attention_mask": batch["text_attention_mask"].flip(1)})
    with pytest.raises(UsageError, match="no whole patches"):
        model(**{**batch, "hidden_states": [noise(4, 3, 4), *batch["hidden_states"][1:]]})
    with pytest.raises(UsageError, match="6 heads of 18"):
        OmniGen2Transformer2DModel(**{**SMALL, "axes_dim_rope": (4, 4, 10)})
    with pytest.raises(UsageError, match="cannot share 4"):
        OmniGen2Transformer2DModel(**{**SMALL, "num_kv_heads": 4})

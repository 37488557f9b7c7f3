"""The transformer of OmniGen2 (arXiv 2506.18871), with the released checkpoint's names and shapes.

Text, references and target are refined apart, then read together as
`[text | reference 1 | ... | reference N | target]` with full attention. Samples of a batch may have
any sizes and numbers of references; each comes out as it would alone.
"""

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.loaders import PeftAdapterMixin
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from umo.bases.omnigen2_blocks import Block, Modulation, RMSNorm
from umo.bases.omnigen2_rope import Grid, position_ids, rotations
from umo.errors import UsageError

MOST_REFERENCES = 5
TIME_FEATURES = 256
FINAL_EPS = 1e-6


class OmniGen2Transformer2DModel(ModelMixin, ConfigMixin, PeftAdapterMixin):  # type: ignore[misc]
    """The velocity from noise to data, `data - noise`, at time 0 (noise) to 1 (data).

    Args:
        patch_size: Latents on a side of a token.
        in_channels: Of the latents.
        out_channels: Of the velocity; None for `in_channels`.
        hidden_size: Features of a token.
        num_layers: Joint blocks.
        num_refiner_layers: Blocks of each refiner.
        num_attention_heads: Query heads.
        num_kv_heads: Key and value heads.
        multiple_of: The feed-forward parts' width is a multiple of it.
        ffn_dim_multiplier: Scales that width, of 4 `hidden_size`.
        norm_eps: Of the blocks' norms.
        axes_dim_rope: Features of a head that turn with each coordinate; their sum is a head.
        axes_lens: The coordinates are below these.
        text_feat_dim: Text features.
        timestep_scale: Times are multiplied by it.

    Raises:
        UsageError: The sizes do not fit together.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        patch_size: int = 2,
        in_channels: int = 16,
        out_channels: int | None = None,
        hidden_size: int = 2304,
        num_layers: int = 26,
        num_refiner_layers: int = 2,
        num_attention_heads: int = 24,
        num_kv_heads: int = 8,
        multiple_of: int = 256,
        ffn_dim_multiplier: float | None = None,
        norm_eps: float = 1e-5,
        axes_dim_rope: Sequence[int] = (32, 32, 32),
        axes_lens: Sequence[int] = (300, 512, 512),
        text_feat_dim: int = 1024,
        timestep_scale: float = 1.0,
    ) -> None:
        super().__init__()
        head = sum(axes_dim_rope)
        if hidden_size != num_attention_heads * head:
            raise UsageError(
                f"hidden_size is {hidden_size}, {num_attention_heads} heads of {head} "
                f"(axes_dim_rope) make {num_attention_heads * head}"
            )
        if num_attention_heads % num_kv_heads:
            raise UsageError(f"{num_attention_heads} heads cannot share {num_kv_heads} kv heads")
        token = patch_size**2 * in_channels
        time_width = min(hidden_size, 1024)
        widened = 4 * hidden_size
        if ffn_dim_multiplier is not None:
            widened = int(ffn_dim_multiplier * widened)

        def blocks(count: int, *, modulated: bool = True) -> nn.ModuleList:
            return nn.ModuleList(
                Block(
                    hidden_size,
                    num_attention_heads,
                    num_kv_heads,
                    inner=multiple_of * math.ceil(widened / multiple_of),
                    eps=norm_eps,
                    time_width=time_width if modulated else None,
                )
                for _ in range(count)
            )

        self.x_embedder = nn.Linear(token, hidden_size)
        self.ref_image_patch_embedder = nn.Linear(token, hidden_size)
        self.image_index_embedding = nn.Parameter(torch.empty(MOST_REFERENCES, hidden_size))
        self.time_caption_embed = TimeCaptionEmbedding(
            hidden_size, time_width, text_feat_dim, timestep_scale=timestep_scale, eps=norm_eps
        )
        self.context_refiner = blocks(num_refiner_layers, modulated=False)
        self.noise_refiner = blocks(num_refiner_layers)
        self.ref_image_refiner = blocks(num_refiner_layers)
        self.layers = blocks(num_layers)
        self.norm_out = Output(
            hidden_size, time_width, patch_size**2 * (out_channels or in_channels)
        )
        self._initialise()

    def forward(
        self,
        hidden_states: Tensor | list[Tensor],
        timestep: Tensor,
        text_hidden_states: Tensor,
        text_attention_mask: Tensor,
        ref_image_hidden_states: Sequence[Sequence[Tensor] | None] | None = None,
    ) -> Tensor | list[Tensor]:
        """Velocities, in the form of the latents.

        Args:
            hidden_states: Latents `[B,C,h,w]`, or a list of `[C,h,w]` of any sizes.
            timestep: `[B]`, 0 (noise) to 1 (data).
            text_hidden_states: Text features `[B,L,F]`, padded on the right.
            text_attention_mask: Which of them count, `[B,L]`.
            ref_image_hidden_states: For each sample its reference latents `[C,h,w]`, or None.

        Raises:
            UsageError: There are too many references, a size is no multiple of the patch size, a
                position is beyond `axes_lens`, or the text is not padded on the right.
        """
        targets = list(hidden_states)
        references = [list(own or ()) for own in ref_image_hidden_states or [None] * len(targets)]
        lengths = _text_lengths(text_attention_mask)
        self._check(targets, references)

        temb, text = self.time_caption_embed(timestep, text_hidden_states, targets[0].dtype)
        images = [[*own, target] for own, target in zip(references, targets, strict=True)]
        turns = [self._turns(length, own) for length, own in zip(lengths, images, strict=True)]
        text = text[:, : max(lengths)]
        text = self._refine(self.context_refiner, text, lengths, [turn[0] for turn in turns])
        noisy, sizes = self._tokens(targets)
        noisy = self._refine(
            self.noise_refiner, self.x_embedder(noisy), sizes, [turn[-1] for turn in turns], temb
        )
        clean = self._references(references, [turn[1:-1] for turn in turns], temb)

        joint = [
            torch.cat([text[row, : lengths[row]], clean[row], noisy[row, : sizes[row]]])
            for row in range(len(targets))
        ]
        ends = [len(tokens) for tokens in joint]
        x = pad_sequence(joint, batch_first=True)
        x = self._refine(self.layers, x, ends, [torch.cat(turn) for turn in turns], temb)
        x = self.norm_out(x, temb)
        velocities = [
            self._picture(x[row, ends[row] - sizes[row] : ends[row]], target)
            for row, target in enumerate(targets)
        ]
        return torch.stack(velocities) if isinstance(hidden_states, Tensor) else velocities

    def _check(self, targets: list[Tensor], references: list[list[Tensor]]) -> None:
        most = max(map(len, references))
        if most > MOST_REFERENCES:
            raise UsageError(f"{most} references, OmniGen2 takes at most {MOST_REFERENCES}")
        patch = self.config["patch_size"]
        for image in (*targets, *(image for own in references for image in own)):
            if image.shape[-2] % patch or image.shape[-1] % patch:
                raise UsageError(
                    f"latents of {image.shape[-1]} x {image.shape[-2]} are no whole patches of "
                    f"{patch} x {patch}"
                )

    def _turns(self, text: int, images: list[Tensor]) -> tuple[Tensor, ...]:
        """Rotations of a sample's text, of each of its references and of its target."""
        patch = self.config["patch_size"]
        grids: list[Grid] = [(i.shape[-2] // patch, i.shape[-1] // patch) for i in images]
        ids = position_ids(text, grids)
        turns = rotations(
            ids, self.config["axes_dim_rope"], self.config["axes_lens"], images[0].device
        )
        parts: tuple[Tensor, ...] = turns.split(
            [text, *(rows * columns for rows, columns in grids)]
        )
        return parts

    def _tokens(self, images: list[Tensor]) -> tuple[Tensor, list[int]]:
        """Patches `[B,S,p*p*C]` of pictures, padded, and how many each has."""
        patches = [patchify(image, self.config["patch_size"]) for image in images]
        return pad_sequence(patches, batch_first=True), [len(each) for each in patches]

    def _picture(self, patches: Tensor, latents: Tensor) -> Tensor:
        """Patches put together to a picture as high and wide as `latents`."""
        height, width = latents.shape[-2:]
        return unpatchify(patches, height, width, self.config["patch_size"])

    def _references(
        self, references: list[list[Tensor]], turns: list[tuple[Tensor, ...]], temb: Tensor
    ) -> list[Tensor]:
        """Each sample's reference tokens `[S,D]`, in order; every reference refined alone.

        Without references the same layers run on an empty patch that nobody reads, so that their
        gradients are zero and every device has something to compute.
        """
        flat = [image for own in references for image in own]
        owner = [row for row, own in enumerate(references) for _ in own]
        index = [place for own in references for place in range(len(own))]
        flat_turns = [turn for own in turns for turn in own]
        if not flat:
            patch, head = self.config["patch_size"], sum(self.config["axes_dim_rope"])
            flat = [temb.new_zeros(self.config["in_channels"], patch, patch)]
            flat_turns = [temb.new_ones(1, head // 2, dtype=torch.complex128)]
            owner, index = [0], [0]
        rows, places = torch.tensor([owner, index], device=temb.device)
        patches, sizes = self._tokens(flat)
        x = self.ref_image_patch_embedder(patches) + self.image_index_embedding[places, None]
        x = self._refine(self.ref_image_refiner, x, sizes, flat_turns, temb[rows])
        tokens = torch.cat([x[row, :size] for row, size in enumerate(sizes)])
        ends = [0, *accumulate(map(len, references))]
        counts = [sum(sizes[start:end]) for start, end in pairwise(ends)]
        return list(tokens[: sum(counts)].split(counts))

    @staticmethod
    def _refine(
        blocks: nn.ModuleList,
        x: Tensor,
        lengths: list[int],
        turns: list[Tensor],
        temb: Tensor | None = None,
    ) -> Tensor:
        """Run blocks over rows `[B,S,D]` of which `lengths` tokens count."""
        rotation = pad_sequence(turns, batch_first=True)
        mask = None
        if len(set(lengths)) > 1:
            places = torch.arange(x.shape[1], device=x.device)
            mask = (places < torch.tensor(lengths, device=x.device)[:, None])[:, None, None]
        for block in blocks:
            x = block(x, mask, rotation, temb)
        return x

    def _initialise(self) -> None:
        """The published initial weights: a fresh model's velocity is 0."""
        nn.init.normal_(self.image_index_embedding, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for module in self.modules():
            if isinstance(module, Modulation):
                nn.init.zeros_(module.linear.weight)
        for linear in (self.norm_out.linear_1, self.norm_out.linear_2):
            nn.init.zeros_(linear.weight)
        embed = self.time_caption_embed
        for linear in (embed.timestep_embedder.linear_1, embed.timestep_embedder.linear_2):
            nn.init.normal_(linear.weight, std=0.02)
        nn.init.trunc_normal_(embed.caption_embedder.get_parameter("1.weight"), std=0.02)


class TimestepEmbedder(nn.Module):
    """Two linear layers over sinusoids.

    Args:
        width: Of the embedding.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(TIME_FEATURES, width)
        self.linear_2 = nn.Linear(width, width)

    def forward(self, features: Tensor) -> Tensor:
        """Sinusoids `[B,256]` to embeddings `[B,T]`."""
        out: Tensor = self.linear_2(F.silu(self.linear_1(features)))
        return out


class TimeCaptionEmbedding(nn.Module):
    """Embeddings of time and text.

    Args:
        width: Features of a token.
        time_width: Features of the time embedding.
        text_width: Text features.
        timestep_scale: Times are multiplied by it.
        eps: Of the norm of the text features.
    """

    def __init__(
        self,
        width: int,
        time_width: int,
        text_width: int,
        *,
        timestep_scale: float,
        eps: float,
    ) -> None:
        super().__init__()
        self.timestep_scale = timestep_scale
        self.timestep_embedder = TimestepEmbedder(time_width)
        self.caption_embedder = nn.Sequential(
            RMSNorm(text_width, eps=eps), nn.Linear(text_width, width)
        )

    def forward(self, timestep: Tensor, text: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Time embeddings `[B,T]` and text tokens `[B,L,D]`.

        Args:
            timestep: `[B]`.
            text: Features `[B,L,F]`.
            dtype: Of the latents.
        """
        features = sinusoids(timestep, self.timestep_scale).to(dtype)
        return self.timestep_embedder(features), self.caption_embedder(text)


class Output(nn.Module):
    """A last norm, scaled by the time embedding, and the way back to patches.

    Args:
        width: Features of a token.
        time_width: Features of the time embedding.
        out: Values of a patch.
    """

    def __init__(self, width: int, time_width: int, out: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(time_width, width)
        self.norm = nn.LayerNorm(width, eps=FINAL_EPS, elementwise_affine=False)
        self.linear_2 = nn.Linear(width, out)

    def forward(self, x: Tensor, temb: Tensor) -> Tensor:
        """Tokens `[B,S,D]` to patches `[B,S,p*p*C]`."""
        out: Tensor = self.linear_2(self.norm(x) * (1 + self.linear_1(F.silu(temb)))[:, None])
        return out


def sinusoids(timestep: Tensor, scale: float) -> Tensor:
    """`[cos | sin]` `[B,256]` of `(t * f_k) * scale`, `f_k = exp(-ln(10000) k / 128)`, in float32.

    The order of the products is part of the model: another one moves its output by 2e-5.
    """
    half = TIME_FEATURES // 2
    k = torch.arange(half, dtype=torch.float32, device=timestep.device)
    frequencies = torch.exp(-math.log(10000) * k / half)
    angles = scale * (timestep[:, None].float() * frequencies[None])
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def patchify(latents: Tensor, patch: int) -> Tensor:
    """Patches `[(h/p)(w/p),p*p*C]` of `[C,h,w]`, row by row; the channel varies fastest."""
    channels, height, width = latents.shape
    grid = latents.reshape(channels, height // patch, patch, width // patch, patch)
    return grid.permute(1, 3, 2, 4, 0).reshape(-1, patch**2 * channels)


def unpatchify(patches: Tensor, height: int, width: int, patch: int) -> Tensor:
    """Latents `[C,h,w]` of patches `[(h/p)(w/p),p*p*C]`."""
    grid = patches.reshape(height // patch, width // patch, patch, patch, -1)
    return grid.permute(4, 0, 2, 1, 3).reshape(-1, height, width)


def _text_lengths(mask: Tensor) -> list[int]:
    counted = mask.bool().cpu()
    if bool((counted[:, 1:] & ~counted[:, :-1]).any()) or not bool(counted[:, 0].all()):
        raise UsageError(
            "the text is not padded on the right", hint="set the tokenizer's padding_side to right"
        )
    lengths: list[int] = counted.sum(dim=1).tolist()
    return lengths

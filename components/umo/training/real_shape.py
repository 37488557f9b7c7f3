"""FLUX.1-dev's real shape without its weights, for accounts of what it costs."""

from collections.abc import Iterable
from dataclasses import replace

import torch
from diffusers import FluxTransformer2DModel
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

from umo.bases.embedded import tiny
from umo.bases.flux_reference import FluxReference
from umo.bases.kl import flux_autoencoder
from umo.bases.protocol import Conditioning

META = torch.device("meta")
TEXT_LENGTH = 512
CLIP = CLIPTextConfig(
    hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12
)
T5 = T5Config(
    vocab_size=32128,
    d_model=4096,
    d_kv=64,
    d_ff=10240,
    num_layers=24,
    num_heads=64,
    feed_forward_proj="gated-gelu",
)
"""The text encoders of FLUX.1-dev."""


def flux_dev(device: torch.device) -> FluxReference:
    """FLUX.1-dev's networks with random weights: bfloat16, those of the autoencoder float32.

    The shapes are those of the published configurations of its parts.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with device:
            transformer = FluxTransformer2DModel(
                patch_size=1,
                in_channels=64,
                num_layers=19,
                num_single_layers=38,
                attention_head_dim=128,
                num_attention_heads=24,
                joint_attention_dim=4096,
                pooled_projection_dim=768,
                guidance_embeds=True,
                axes_dims_rope=(16, 56, 56),
            )
            clip = CLIPTextModel(CLIP)
            t5 = T5EncoderModel(T5)
    finally:
        torch.set_default_dtype(before)
    with device:
        vae = flux_autoencoder()
    parts = replace(
        tiny(0).parts, transformer=transformer, vae=vae, text_encoder=clip, text_encoder_2=t5
    )
    return FluxReference(parts, name="flux-1-dev-shape", digest="random")


def conditioning(
    base: FluxReference,
    batch: int,
    *,
    references: int,
    side: int,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> Conditioning:
    """Text and references of a batch, zeros: the shapes are what counts."""
    shape = base.latent_shape(side, side)
    sizes = base.parts.transformer.config
    text = torch.zeros(batch, TEXT_LENGTH, sizes["joint_attention_dim"], device=device, dtype=dtype)
    return Conditioning(
        text=text,
        pooled=torch.zeros(batch, sizes["pooled_projection_dim"], device=device, dtype=dtype),
        references=tuple(
            torch.zeros(batch, *shape, device=device, dtype=dtype) for _ in range(references)
        ),
    )


def bytes_of(tensors: Iterable[Tensor]) -> int:
    """What tensors take."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def tensors_of(base: FluxReference) -> list[Tensor]:
    """The weights and buffers of every network of a base."""
    networks = (*base.large, base.parts.vae)
    return [t for one in networks for t in (*one.parameters(), *one.buffers())]

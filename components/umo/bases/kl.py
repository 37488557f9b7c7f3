"""FLUX.1's autoencoder, which OmniGen2 has too, and its latents as bases take them."""

from collections.abc import Sequence

from diffusers import AutoencoderDC, AutoencoderKL
from torch import Tensor


def flux_autoencoder(
    widths: Sequence[int] = (128, 256, 512, 512), *, layers: int = 2, groups: int = 32
) -> AutoencoderKL:
    """FLUX.1's autoencoder with random weights: 16 channels, an eighth of the side.

    Args:
        widths: Channels of its four blocks.
        layers: Of each block.
        groups: Of its norms.
    """
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=tuple(widths),
        layers_per_block=layers,
        latent_channels=16,
        norm_num_groups=groups,
        scaling_factor=0.3611,
        shift_factor=0.1159,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )


def to_latents(vae: AutoencoderKL | AutoencoderDC, images: Tensor) -> Tensor:
    """Latents `[B,C,h,w]` of pictures `[B,3,H,W]` in -1..1; the mean of a posterior."""
    encoded = vae.encode(images)
    raw = encoded.latent_dist.mode() if isinstance(vae, AutoencoderKL) else encoded.latent
    shift = vae.config.get("shift_factor") or 0.0
    latents: Tensor = (raw - shift) * vae.config["scaling_factor"]
    return latents


def to_pictures(vae: AutoencoderKL | AutoencoderDC, latents: Tensor) -> Tensor:
    """Pictures `[B,3,H,W]`, about -1..1 and never clamped, of latents `[B,C,h,w]`."""
    shift = vae.config.get("shift_factor") or 0.0
    pictures: Tensor = vae.decode(latents / vae.config["scaling_factor"] + shift).sample
    return pictures

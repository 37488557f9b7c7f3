"""Small bases of the real architectures, with random weights."""

import torch
from diffusers import AutoencoderKL, FluxTransformer2DModel

from umo.bases.embedded import tiny
from umo.bases.flux_reference import FluxReference, Parts


def tiny_flux(seed: int = 0) -> FluxReference:
    """FLUX.1-dev in small: its autoencoder, its embedded guidance, its bias of every layer."""
    small = tiny(seed).parts
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(8, 8, 8, 8),
            layers_per_block=1,
            latent_channels=16,
            norm_num_groups=4,
            scaling_factor=0.3611,
            shift_factor=0.1159,
            use_quant_conv=False,
            use_post_quant_conv=False,
        )
        transformer = FluxTransformer2DModel.from_config(
            {**small.transformer.config, "guidance_embeds": True}
        )
    return FluxReference(
        Parts(
            transformer=transformer,
            vae=vae,
            text_encoder=small.text_encoder,
            tokenizer=small.tokenizer,
            text_encoder_2=small.text_encoder_2,
            tokenizer_2=small.tokenizer_2,
            scheduler=small.scheduler,
        ),
        name="tiny-flux",
        digest="untrained",
    )

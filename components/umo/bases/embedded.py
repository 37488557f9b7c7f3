"""The embedded base before training: FLUX's architecture in a size that two CPU cores can tune.

Its pictures are `TILE` px high and one `TILE` wide for each person; every part is a stock diffusers
or transformers class, so the folder it is saved to is a standard diffusers folder.
"""

from collections.abc import Iterable

import torch
from diffusers import AutoencoderDC, FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import Tensor
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
)

from umo.bases.flux_reference import FluxReference, Parts
from umo.bases.layout import Tiles
from umo.bases.protocol import LEVELS

VOCABULARY = 512
TEXT_LENGTH = 16
CLIP_WIDTH = 64
T5_WIDTH = 96
LATENT_CHANNELS = 16
"""The autoencoder shrinks by 8 and keeps this many channels."""


class Embedded(FluxReference):
    """The embedded base: FLUX's code, and habits of its own where it was trained otherwise.

    It paints tiles, knows the noise levels of its roll-outs, and adapts queries, keys and values
    each by itself.
    """

    layout = Tiles(side=96, most=4)

    def training_sigmas(self, height: int, width: int) -> Tensor:
        """`LEVELS` sigmas from 1 to 0: those of a roll-out."""
        return self.sigmas(LEVELS - 1, height, width)

    def fused_layers(self) -> list[tuple[str, ...]]:
        """None."""
        return []


def new_autoencoder(*, seed: int) -> AutoencoderDC:
    """An untrained autoencoder, factor 8."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return AutoencoderDC(
            latent_channels=LATENT_CHANNELS,
            encoder_block_types="ResBlock",
            decoder_block_types="ResBlock",
            encoder_block_out_channels=(16, 32, 64, 64),
            decoder_block_out_channels=(16, 32, 64, 64),
            encoder_layers_per_block=(0, 1, 1, 1),
            decoder_layers_per_block=(0, 1, 1, 1),
            encoder_qkv_multiscales=((),) * 4,
            decoder_qkv_multiscales=((),) * 4,
            upsample_block_type="pixel_shuffle",
            downsample_block_type="pixel_unshuffle",
        )


def new_base(
    vae: AutoencoderDC,
    prompts: Iterable[str],
    *,
    seed: int,
    width: int = 192,
    double_blocks: int = 2,
    single_blocks: int = 4,
) -> Embedded:
    """An untrained base around a trained autoencoder.

    Args:
        vae: Its autoencoder.
        prompts: What the tokenizers learn their vocabulary from.
        seed: Seed of the weights.
        width: Width of the transformer, a multiple of 32.
        double_blocks: Blocks with separate text and image streams.
        single_blocks: Blocks with one stream.
    """
    corpus = sorted(set(prompts))
    clip_tokenizer = _tokenizer(corpus, start="<|start|>", end="<|end|>", pad="<pad>")
    t5_tokenizer = _tokenizer(corpus, start="", end="</s>", pad="<pad>")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        clip = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(clip_tokenizer),
                hidden_size=CLIP_WIDTH,
                intermediate_size=2 * CLIP_WIDTH,
                num_hidden_layers=1,
                num_attention_heads=2,
                max_position_embeddings=TEXT_LENGTH,
                bos_token_id=clip_tokenizer.bos_token_id,
                eos_token_id=clip_tokenizer.eos_token_id,
                pad_token_id=clip_tokenizer.pad_token_id,
            )
        )
        t5 = T5EncoderModel(
            T5Config(
                vocab_size=len(t5_tokenizer),
                d_model=T5_WIDTH,
                d_kv=T5_WIDTH // 2,
                d_ff=2 * T5_WIDTH,
                num_layers=1,
                num_heads=2,
                dropout_rate=0.0,
                pad_token_id=t5_tokenizer.pad_token_id,
                eos_token_id=t5_tokenizer.eos_token_id,
            )
        )
        transformer = FluxTransformer2DModel(
            patch_size=1,
            in_channels=4 * LATENT_CHANNELS,
            num_layers=double_blocks,
            num_single_layers=single_blocks,
            attention_head_dim=32,
            num_attention_heads=width // 32,
            joint_attention_dim=T5_WIDTH,
            pooled_projection_dim=CLIP_WIDTH,
            guidance_embeds=False,
            axes_dims_rope=(8, 12, 12),
        )
    return Embedded(
        Parts(
            transformer=transformer,
            vae=vae,
            text_encoder=clip,
            tokenizer=clip_tokenizer,
            text_encoder_2=t5,
            tokenizer_2=t5_tokenizer,
            scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        ),
        name="embedded",
        digest="untrained",
    )


def tiny(seed: int) -> Embedded:
    """A base with random weights and a narrow transformer, for trying things out quickly."""
    prompts = ["One person on a beach", "Two people side by side in a park"]
    vae = new_autoencoder(seed=seed)
    return new_base(vae, prompts, seed=seed, width=32, double_blocks=1, single_blocks=1)


def _tokenizer(corpus: list[str], *, start: str, end: str, pad: str) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer that wraps prompts in `start` (may be empty) and `end`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    special = [token for token in dict.fromkeys((pad, end, start)) if token]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}".strip(),
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (start, end) if token],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=TEXT_LENGTH,
        pad_token=pad,
        eos_token=end,
        bos_token=start or None,
    )

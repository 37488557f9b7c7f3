"""OmniGen2 with random weights, as small as tests need it; its folder is like the released one."""

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
)

from umo.bases.kl import flux_autoencoder
from umo.bases.omnigen2 import SYSTEM, OmniGen2, Parts
from umo.bases.omnigen2_transformer import OmniGen2Transformer2DModel

PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
TEXT_WIDTH = 32


def tiny(seed: int) -> OmniGen2:
    """A base with random weights whose every part has a say in its velocity."""
    tokenizer = _tokenizer()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        transformer = OmniGen2Transformer2DModel(
            hidden_size=72,
            num_layers=2,
            num_refiner_layers=1,
            num_attention_heads=6,
            num_kv_heads=2,
            multiple_of=32,
            axes_dim_rope=(4, 4, 4),
            axes_lens=(1024, 1664, 1664),
            text_feat_dim=TEXT_WIDTH,
            timestep_scale=1000.0,
        )
        _wake(transformer)
        vae = flux_autoencoder((8, 8, 16, 16), layers=1, groups=4)
        mllm = Qwen2_5_VLForConditionalGeneration(_text_config(tokenizer))
    return OmniGen2(
        Parts(transformer=transformer, vae=vae, mllm=mllm, tokenizer=tokenizer),
        name="omnigen2-tiny",
        digest="untrained",
    )


def _wake(transformer: OmniGen2Transformer2DModel) -> None:
    """Replace the zeros that a fresh model begins with, which make it silent."""
    for parameter in transformer.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.2)


def _text_config(tokenizer: PreTrainedTokenizerFast) -> Qwen2_5_VLConfig:
    words = len(tokenizer)
    return Qwen2_5_VLConfig(
        text_config={
            "vocab_size": words,
            "hidden_size": TEXT_WIDTH,
            "intermediate_size": 2 * TEXT_WIDTH,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "max_position_embeddings": 2048,
            "rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3]},
            "bos_token_id": None,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        vision_config={
            "depth": 1,
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_heads": 2,
            "out_hidden_size": TEXT_WIDTH,
            "fullatt_block_indexes": [0],
        },
        image_token_id=words,
        video_token_id=words + 1,
        vision_start_token_id=words + 2,
        vision_end_token_id=words + 3,
    )


def _tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer that knows Qwen's marks of a chat."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=[PAD, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([SYSTEM, "One person on a beach, two people in a park"], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=PAD, eos_token=END)

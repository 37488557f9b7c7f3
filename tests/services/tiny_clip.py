"""A CLIP so small that it is made in a moment, with random weights."""

from pathlib import Path

import torch
from transformers import CLIPConfig, CLIPModel

from umo.bases.embedded import tiny


def tiny_clip(folder: Path, seed: int = 0) -> Path:
    """A folder as transformers writes it."""
    tokenizer = tiny(0).parts.tokenizer
    sizes = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    config = CLIPConfig(
        text_config={
            **sizes,
            "vocab_size": len(tokenizer),
            "max_position_embeddings": 16,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        vision_config={**sizes, "image_size": 32, "patch_size": 8},
        projection_dim=8,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        CLIPModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder

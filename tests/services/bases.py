"""Small bases of the real architectures, with random weights, and a whole run of one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKLFlux2,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
    FluxTransformer2DModel,
)
from transformers import Qwen3Config, Qwen3ForCausalLM

from umo.bases.embedded import tiny
from umo.bases.flux2 import Flux2Reference
from umo.bases.flux_reference import FluxReference, Parts
from umo.bases.kl import flux_autoencoder
from umo.data.render import RenderConfig
from umo.evaluation.evaluate import EvaluationConfig
from umo.files import write_manifest
from umo.steps.run import RunConfig
from umo.training.config import RereflConfig


def tiny_flux(seed: int = 0) -> FluxReference:
    """FLUX.1-dev in small: its autoencoder, its embedded guidance, its bias of every layer."""
    small = tiny(seed).parts
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        vae = flux_autoencoder((8, 8, 8, 8), layers=1, groups=4)
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


def tiny_flux2(seed: int = 0, *, distilled: bool = True) -> Flux2Reference:
    """FLUX.2 [klein] in small, with a language model of as many layers as its features ask for."""
    tokenizer = tiny(seed).parts.tokenizer_2
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        language = Qwen3ForCausalLM(
            Qwen3Config(
                vocab_size=len(tokenizer),
                hidden_size=16,
                intermediate_size=32,
                num_hidden_layers=28,
                num_attention_heads=2,
                num_key_value_heads=1,
                head_dim=8,
            )
        )
        vae = AutoencoderKLFlux2(
            block_out_channels=(8, 8, 8, 8),
            layers_per_block=1,
            latent_channels=4,
            norm_num_groups=4,
        )
        vae.bn.running_mean.normal_()
        vae.bn.running_var.uniform_(0.5, 2.0)
        transformer = Flux2Transformer2DModel(
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=48,
            axes_dims_rope=(4, 4, 4, 4),
            guidance_embeds=False,
        )
    pipeline = Flux2KleinPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=vae,
        text_encoder=language,
        tokenizer=tokenizer,
        transformer=transformer,
        is_distilled=distilled,
    )
    return Flux2Reference(pipeline, name="tiny-flux2", digest="untrained")


def save_base(folder: Path, make: Callable[[int], Any] = tiny) -> Path:
    """A sealed folder of a base."""
    folder.mkdir()
    make(0).save(folder)
    write_manifest(folder, {"kind": "base", "name": "tiny", "licence": "CC0-1.0"})
    return folder


def small_run(base: Path) -> RunConfig:
    """A whole run of seven samples and two steps."""
    return RunConfig(
        base=str(base),
        tune=RenderConfig(split="tune", samples=4, people={2: 1.0}),
        held_out=RenderConfig(split="held-out", samples=3, people={2: 0.5, 3: 0.5}),
        train=RereflConfig(steps=2, batch=2, rank=2, rollout_steps=2, window=(1, 2), log_every=1),
        evaluation=EvaluationConfig(steps=2, resamples=20),
        model="tiny",
    )

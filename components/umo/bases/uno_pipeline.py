"""UNO as a diffusers pipeline: FLUX.1-dev that paints the people of reference pictures.

    pipeline = UNOFluxPipeline.from_pretrained("black-forest-labs/FLUX.1-dev", dtype=torch.bfloat16)
    pipeline.load_lora_weights("bytedance-research/UMO", weight_name="UMO_UNO.safetensors")
    pipeline.enable_model_cpu_offload()
    picture = pipeline("two people at a table", [first, second]).images[0]

Everything but the call is diffusers' own `FluxPipeline`: loading, LoRA, offload, quantization.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from diffusers import FluxPipeline
from diffusers.pipelines.flux.pipeline_output import FluxPipelineOutput
from diffusers.utils.torch_utils import randn_tensor
from PIL import Image
from torch import Tensor

from umo.bases.flux_reference import pack, position_ids, uno_sigmas, unpack
from umo.bases.references import STEP, uno_reference, uno_side
from umo.pixels import to_float


class UNOFluxPipeline(FluxPipeline):  # type: ignore[misc]
    """FLUX with reference pictures (UNO, arXiv 2504.02160); see the module."""

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str] | None = None,
        references: Sequence[Image.Image] = (),
        *,
        prompt_2: str | Sequence[str] | None = None,
        height: int = 512,
        width: int = 512,
        num_inference_steps: int = 25,
        guidance_scale: float = 4.0,
        num_images_per_prompt: int = 1,
        generator: torch.Generator | list[torch.Generator] | None = None,
        latents: Tensor | None = None,
        prompt_embeds: Tensor | None = None,
        pooled_prompt_embeds: Tensor | None = None,
        reference_size: int | None = None,
        output_type: Literal["pil", "np", "pt", "latent"] = "pil",
        return_dict: bool = True,
        joint_attention_kwargs: dict[str, Any] | None = None,
        callback_on_step_end: Callable[..., dict[str, Tensor]] | None = None,
        max_sequence_length: int = 512,
    ) -> FluxPipelineOutput | tuple[Any]:
        """Paint.

        Args:
            prompt: One or several; each is painted with the same references.
            references: Pictures of the people or things, in order.
            prompt_2: For T5, if it differs.
            height: Of the pictures, px; rounded down to a multiple of 16.
            width: The same.
            num_inference_steps: Euler steps.
            guidance_scale: FLUX's embedded guidance.
            num_images_per_prompt: Pictures of each prompt.
            generator: Of the noise, and of what the autoencoder draws.
            latents: Noise `[B,16,height/8,width/8]` instead.
            prompt_embeds: T5 features `[B,L,4096]` instead of prompts.
            pooled_prompt_embeds: CLIP's `[B,768]`, with them.
            reference_size: Long side of the references, px; UNO's is 512 for one, 320 for more.
            output_type: As in diffusers; `latent` gives `[B,16,height/8,width/8]`.
            return_dict: Whether to return a `FluxPipelineOutput`.
            joint_attention_kwargs: For the attention processors, for example LoRA's `scale`.
            callback_on_step_end: Called with the pipeline, the step, sigma and `latents`; may
                return other `latents`.
            max_sequence_length: T5 tokens of a prompt.

        Raises:
            ValueError: The arguments contradict each other, as in `FluxPipeline`.
        """
        height, width = height // STEP * STEP, width // STEP * STEP
        self.check_inputs(
            prompt,
            prompt_2,
            height,
            width,
            prompt_embeds=prompt_embeds,
            pooled_prompt_embeds=pooled_prompt_embeds,
            max_sequence_length=max_sequence_length,
        )
        self._joint_attention_kwargs = joint_attention_kwargs
        device = self._execution_device
        text, pooled, text_ids = self.encode_prompt(
            prompt=prompt if prompt is None or isinstance(prompt, str) else list(prompt),
            prompt_2=prompt_2,
            prompt_embeds=prompt_embeds,
            pooled_prompt_embeds=pooled_prompt_embeds,
            device=device,
            num_images_per_prompt=num_images_per_prompt,
            max_sequence_length=max_sequence_length,
            lora_scale=(joint_attention_kwargs or {}).get("scale"),
        )
        side = reference_size or uno_side(len(references))
        seen = [self._encode(uno_reference(one, side), device, generator) for one in references]
        channels = self.transformer.config.in_channels // 4
        shape = (len(text), channels, height // 8, width // 8)
        if latents is None:
            latents = randn_tensor(shape, generator=generator, device=device, dtype=text.dtype)
        x = latents.to(device, text.dtype)
        clean = [pack(one.to(x.dtype)).expand(len(x), -1, -1) for one in seen]
        ids = position_ids([one.shape[-2:] for one in (x, *seen)]).to(device)
        embeds = self.transformer.config.guidance_embeds
        guidance = torch.full([len(x)], guidance_scale, device=device) if embeds else None
        sigmas = uno_sigmas(num_inference_steps, height, width).tolist()
        tokens = (height // STEP) * (width // STEP)
        with self.progress_bar(total=num_inference_steps) as bar:
            for step, sigma in enumerate(sigmas[:-1]):
                velocity = self.transformer(
                    hidden_states=torch.cat([pack(x), *clean], dim=1),
                    timestep=torch.full([len(x)], sigma, device=device, dtype=x.dtype),
                    guidance=guidance,
                    pooled_projections=pooled,
                    encoder_hidden_states=text,
                    txt_ids=text_ids,
                    img_ids=ids,
                    joint_attention_kwargs=joint_attention_kwargs,
                    return_dict=False,
                )[0][:, :tokens]
                x = x + (sigmas[step + 1] - sigma) * unpack(velocity, height // 8, width // 8)
                if callback_on_step_end:
                    x = callback_on_step_end(self, step, sigma, {"latents": x}).get("latents", x)
                bar.update()
        pictures = x if output_type == "latent" else self._decode(x, output_type)
        self.maybe_free_model_hooks()
        return FluxPipelineOutput(images=pictures) if return_dict else (pictures,)

    def _encode(
        self,
        picture: Image.Image,
        device: torch.device,
        generator: torch.Generator | list[torch.Generator] | None,
    ) -> Tensor:
        """Latents `[1,C,h,w]` of a reference, drawn from the posterior as UNO does."""
        first = generator[0] if isinstance(generator, list) else generator
        pixels = to_float(torch.from_numpy(np.array(picture)))[None]
        posterior = self.vae.encode(pixels.to(device, self.vae.dtype)).latent_dist
        config = self.vae.config
        latents: Tensor = (posterior.sample(first) - config.shift_factor) * config.scaling_factor
        return latents

    def _decode(self, latents: Tensor, output_type: str) -> Any:
        config = self.vae.config
        raw = latents.to(self.vae.dtype) / config.scaling_factor + config.shift_factor
        painted = self.vae.decode(raw, return_dict=False)[0]
        return self.image_processor.postprocess(painted, output_type=output_type)

"""The keys of a LoRA of OmniGen2, as UMO's file has them and as other programs call them."""

from collections.abc import Mapping

from torch import Tensor

from umo.formats.lora import DIFFUSERS, Lora, Names, Sizes, gather

NAMES = Names(down=".lora_A.default.weight", up=".lora_B.default.weight")
"""Of `UMO_OmniGen2.safetensors`."""
COMFYUI = Names(prefix="diffusion_model.")


def read_any(tensors: Mapping[str, Tensor], sizes: Sizes) -> Lora:
    """The LoRA of a file with UMO's keys, with those of OmniGen2's own training, or ComfyUI's.

    Raises:
        DiffersError: A key is missing, unexpected or of another shape; it names the keys.
    """
    for names in (DIFFUSERS, COMFYUI):
        if any(key.startswith(names.prefix) for key in tensors):
            return gather(tensors, sizes, names)
    return gather(tensors, sizes, NAMES)

"""Makes safetensors of a published checkpoint, for measures whose models come as pickles."""

from pathlib import Path

from safetensors.torch import save_file

from umo.errors import UsageError
from umo.files import atomic_path
from umo.pickles import read_tensors

SUFFIX = ".safetensors"


def convert(source: Path, target: Path) -> int:
    """Write the tensors of a checkpoint of torch as safetensors; nothing in it is run.

    Args:
        source: For example `pytorch_model.bin` or `aesthetic_predictor_v2_5.pth`.
        target: For example `model.safetensors` beside it.

    Returns:
        How many tensors it has.

    Raises:
        NotFoundError: There is no such file.
        UsageError: It is no state dict, or asks to run code; or `target` has another suffix.
    """
    if target.suffix != SUFFIX:
        raise UsageError(f"{target} does not end in {SUFFIX}", hint=f"for example model{SUFFIX}")
    tensors = {name: value.clone().contiguous() for name, value in read_tensors(source).items()}
    with atomic_path(target) as staged:
        save_file(tensors, staged, metadata={"format": "pt"})
    return len(tensors)

"""Recomputed blocks, bfloat16 and 8 bits: the gradients stay what they are, or near."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from umo.bases.embedded import tiny
from umo.bases.int8 import Int8Linear, to_int8
from umo.errors import UsageError
from umo.faces.packs import FacePack
from umo.files import read_manifest
from umo.training.cache import Group, encode_dataset
from umo.training.config import RereflConfig
from umo.training.memory import Precision, choose_precision, recompute_blocks
from umo.training.objective import Objective
from umo.training.rerefl import LORA, train

CPU = torch.device("cpu")
CONFIG = RereflConfig(batch=2, rank=2, rollout_steps=2, window=(1, 2))


def gradients(
    pack: FacePack,
    dataset: Any,
    *,
    recompute: bool = False,
    precision: Precision | None = None,
    int8: bool = False,
) -> tuple[list[torch.Tensor], int]:
    """Of a tiny FLUX's LoRA, and the bytes that the backward pass had to keep."""
    base, kept = tiny(0), 0
    group: Group = encode_dataset(dataset, base, pack, "reference", lambda line: None).groups[0]
    if precision and precision.low:
        base.transformer.to(torch.bfloat16)
    if int8:
        to_int8(base.transformer)
    parameters = base.add_lora(2, seed=0)
    for parameter in parameters:
        parameter.data = parameter.data.float() + 0.01
    if recompute:
        recompute_blocks(base.transformer)
        recompute_blocks(base.decoder)

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        kept += tensor.numel() * tensor.element_size()
        return tensor

    objective = Objective(CONFIG, base, pack, precision=precision or choose_precision("auto", CPU))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        objective.backward(group, torch.arange(2))
    assert all(parameter.grad is not None for parameter in parameters)
    return [parameter.grad for parameter in parameters if parameter.grad is not None], kept


def test_recomputed_blocks_give_the_same_gradient(pack: FacePack, dataset: Any) -> None:
    plain, much = gradients(pack, dataset)
    recomputed, little = gradients(pack, dataset, recompute=True)
    torch.testing.assert_close(recomputed, plain)
    assert little < much / 2


def test_bfloat16_gives_nearly_the_same_gradient(pack: FacePack, dataset: Any) -> None:
    plain, _ = gradients(pack, dataset)
    low, _ = gradients(pack, dataset, precision=choose_precision("bfloat16", CPU))
    one, other = (torch.cat([g.flatten() for g in each]) for each in (plain, low))
    assert one.dtype == other.dtype == torch.float32
    assert torch.cosine_similarity(one, other, dim=0) > 0.95


def test_a_base_in_8_bits_gives_nearly_the_same_gradient(pack: FacePack, dataset: Any) -> None:
    plain, _ = gradients(pack, dataset)
    low, _ = gradients(pack, dataset, int8=True)
    one, other = (torch.cat([g.flatten() for g in each]) for each in (plain, low))
    assert not torch.equal(one, other)
    assert torch.cosine_similarity(one, other, dim=0) > 0.99


def test_a_run_keeps_the_base_in_8_bits_and_its_lora_fits_the_whole_one(
    pack: FacePack, dataset: Any, tmp_path: Path
) -> None:
    base = tiny(0)
    config = replace(CONFIG, steps=2, base_weights="int8")
    train(config, base=base, dataset=dataset, pack=pack, out=tmp_path / "out")
    assert any(isinstance(module, Int8Linear) for module in base.transformer.modules())
    assert read_manifest(tmp_path / "out")["config"]["base_weights"] == "int8"
    tiny(0).load_lora(tmp_path / "out" / LORA)


def test_a_cpu_computes_in_float32_and_says_why() -> None:
    found = choose_precision("auto", CPU)
    assert (found.name, found.reason) == ("float32", "auto: a CPU, where it is not faster")
    assert choose_precision("bfloat16", CPU) == Precision(name="bfloat16", reason="asked for")


def test_a_gpu_that_knows_it_computes_in_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = torch.device("cuda", 0)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    assert choose_precision("auto", cuda).low
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    assert choose_precision("auto", cuda).reason == "auto: a GPU that does not compute in bfloat16"
    with pytest.raises(UsageError, match="cuda:0 knows no bfloat16"):
        choose_precision("bfloat16", cuda)

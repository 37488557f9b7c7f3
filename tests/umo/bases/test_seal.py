from pathlib import Path

import pytest
import torch

from services.bases import tiny_flux
from umo.bases import load_base
from umo.bases.seal import seal
from umo.errors import DiffersError, NotFoundError, UsageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_flux().save(tmp_path / "flux")
    return tmp_path / "flux"


def test_a_downloaded_folder_is_a_base_once_it_is_sealed(folder: Path) -> None:
    with pytest.raises(NotFoundError, match="umo bases seal"):
        load_base(str(folder))
    sealed = seal(folder, name="flux", licence="mine")
    base = load_base(str(folder))
    assert (base.name, base.digest) == ("flux", sealed["digest"])
    with pytest.raises(UsageError, match="sealed already, as flux"):
        seal(folder, name="other", licence="mine")
    weights = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(DiffersError, match="its manifest says"):
        load_base(str(folder))


def test_pickles_and_other_folders_are_refused(folder: Path, tmp_path: Path) -> None:
    torch.save({}, folder / "vae" / "extra.bin")
    with pytest.raises(UsageError, match=r"vae/extra\.bin may hold a pickle"):
        seal(folder, name="flux", licence="mine")
    assert not (folder / "manifest.json").exists()
    with pytest.raises(NotFoundError, match=r"no model_index\.json"):
        seal(tmp_path, name="flux", licence="mine")

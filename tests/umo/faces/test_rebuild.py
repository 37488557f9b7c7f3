import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from umo.errors import DiffersError, NotFoundError
from umo.faces import rebuild
from umo.faces.dlib_resnet import DlibResnet
from umo.faces.originals import SOURCES, read_dlib, unpack
from umo.faces.rebuild import Proof


def number(value: int) -> bytes:
    size = max(1, (value.bit_length() + 7) // 8)
    return bytes([size]) + value.to_bytes(size, "little")


def serialised(values: Tensor, sizes: tuple[int, int, int, int]) -> bytes:
    floats = values.contiguous().numpy().astype("<f4").tobytes()
    return b"".join(map(number, (2, *sizes))) + floats


def test_dlibs_serialisation_with_the_affine_layers_multiplied_in(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = DlibResnet()
    data = b"\x01\x01"
    expected = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            gain, shift = torch.rand(2, module.out_channels) + 0.5
            assert module.bias is not None
            parts = torch.cat([module.weight.detach().flatten(), module.bias.detach()])
            data += b"\x05con_4" + serialised(parts, (parts.numel(), 1, 1, 1)) + b"\x03abc"
            both = torch.cat([gain, shift])
            data += b"\x07affine_" + serialised(both, (both.numel(), 1, 1, 1))
            expected[f"{name}.weight"] = module.weight.detach() * gain.view(-1, 1, 1, 1)
            expected[f"{name}.bias"] = module.bias.detach() * gain + shift
    head = network.head.weight.detach()
    data += b"\x04fc_2" + b"\x01\x80" + serialised(head.T, (256, 128, 1, 1))
    expected["head.weight"] = head
    (tmp_path / "network.dat").write_bytes(data)
    measured = read_dlib(tmp_path / "network.dat")
    assert measured.keys() == network.state_dict().keys()
    for name, weight in expected.items():
        torch.testing.assert_close(measured[name], weight)


def test_an_archive_that_is_not_the_pinned_one_is_refused(tmp_path: Path) -> None:
    source = SOURCES["calibration"]
    with pytest.raises(NotFoundError, match=r"no archive of openpeople-0\.1\.2"):
        unpack(source, tmp_path, tmp_path / "out")
    archive = tmp_path / "openpeople-0.1.2-py3-none-any.whl"
    with zipfile.ZipFile(archive, "w") as wheel:
        wheel.writestr("people.txt", "nobody")
    with pytest.raises(DiffersError, match="is pinned"):
        unpack(source, tmp_path, tmp_path / "out")
    unpack(replace(source, sha256=""), tmp_path, tmp_path / "out")
    assert (tmp_path / "out" / "people.txt").read_text() == "nobody"


def test_the_command_ends_with_the_code_of_its_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "pack"
    arguments = ["rebuild", "--from", str(tmp_path), "--to", str(target)]
    monkeypatch.setattr(sys, "argv", arguments)
    assert rebuild.main() == 3
    assert "no archive of facenet-pytorch-2.6.0" in capsys.readouterr().err
    assert not target.exists()


def test_a_network_that_differs_is_refused() -> None:
    proof = Proof(file="a", network="N", against="theirs", difference=2e-5, allowed=1e-5)
    rebuild.check([replace(proof, difference=1e-5)])
    for difference in (2e-5, float("nan")):
        with pytest.raises(DiffersError, match=r"N of a is .* away from theirs, 1e-05 is allowed"):
            rebuild.check([replace(proof, difference=difference)])


def test_the_table_has_a_line_for_each_proof() -> None:
    proof = Proof(file="a", network="N", against="theirs", difference=3e-7, allowed=1e-5)
    assert rebuild.table([proof]).splitlines() == [
        "file  network  against  difference  allowed",
        "a     N        theirs   3.0e-07     1e-05",
    ]

import platform
from pathlib import Path

import pytest

from umo.errors import NotFoundError, UmoError, UsageError
from umo_serving import environment


def test_without_a_server_setup_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"run `umo serve setup --home .*` once"):
        environment.find(tmp_path / "none")


def test_a_half_built_folder_is_none(tmp_path: Path) -> None:
    (tmp_path / "triton").mkdir()
    with pytest.raises(NotFoundError):
        environment.find(tmp_path)


def test_an_old_glibc_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.31"))
    with pytest.raises(UsageError, match=r"needs glibc 2\.35 or newer, this is glibc 2\.31"):
        environment.setup(tmp_path / "home")
    assert not (tmp_path / "home").exists()


def test_another_machine_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(UsageError, match="no tritonserver for linux on riscv64"):
        environment.setup(tmp_path / "home")


def test_no_index_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(UmoError, match="cannot download tritonserver: ERROR") as caught:
        environment.setup(tmp_path / "home")
    assert caught.value.retryable
    assert list(tmp_path.iterdir()) == []


def test_the_built_one_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        found = environment.find()
    except NotFoundError as error:
        pytest.skip(str(error))
    assert found.server.is_file()
    assert (found.backends / "python" / "triton_python_backend_stub").is_file()
    monkeypatch.setenv("PATH", "/usr/bin")
    assert found.variables()["PATH"] == f"{found.home / 'python' / 'bin'}:/usr/bin"

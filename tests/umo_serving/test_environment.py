import json
import platform
import sys
from pathlib import Path

import pytest

from umo.errors import NotFoundError, UmoError, UsageError
from umo_serving import environment


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder for an environment of the test's own, which is not there yet."""
    monkeypatch.setenv(environment.HOME, str(tmp_path / "triton"))
    return tmp_path / "triton"


def test_it_lies_in_the_environment_of_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(environment.HOME, raising=False)
    assert environment.home().parent == Path(sys.prefix).resolve()


def test_without_a_server_setup_is_named(home: Path) -> None:
    with pytest.raises(NotFoundError, match=f"no tritonserver in {home}; run `umo serve setup`"):
        environment.find()


def test_a_half_built_folder_is_none(home: Path) -> None:
    home.mkdir()
    with pytest.raises(NotFoundError, match="no tritonserver"):
        environment.find()


def test_one_that_was_built_otherwise_is_none(home: Path) -> None:
    home.mkdir()
    (home / "manifest.json").write_text(json.dumps({"recipe": "older"}))
    with pytest.raises(NotFoundError, match="run `umo serve setup` again"):
        environment.find()


def test_an_old_glibc_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.31"))
    with pytest.raises(UsageError, match=r"needs glibc 2\.35 or newer, this is glibc 2\.31"):
        environment.setup()
    assert not home.exists()


def test_another_machine_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(UsageError, match="no tritonserver for linux on riscv64"):
        environment.setup()


def test_no_index_is_one_line_and_leaves_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(home.parent))
    with pytest.raises(UmoError, match="cannot download tritonserver: ERROR") as caught:
        environment.setup()
    assert caught.value.retryable
    assert list(home.parent.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(environment.HOME, str(tmp_path / "file" / "triton"))
    with pytest.raises(UmoError, match=f"{tmp_path}/file/triton"):
        environment.setup()


def test_the_built_one_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        found = environment.find()
    except NotFoundError as error:
        pytest.skip(str(error))
    assert environment.setup() == found.home
    assert found.server.is_file()
    assert (found.backends / "python" / "triton_python_backend_stub").is_file()
    monkeypatch.setenv("PATH", "/usr/bin")
    assert found.variables()["PATH"] == f"{found.home / 'python' / 'bin'}:/usr/bin"

"""What is read from a run's folders, and what is refused."""

import json
import pickle
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

from umo.data.schema import Sample
from umo.data.shards import write_dataset
from umo.errors import DiffersError, NotFoundError
from umo.files import read_manifest, write_manifest
from umo.review.evidence import gather, read_record, unsafe_files


def test_everything_of_a_run(small: Any) -> None:
    evidence = gather(
        train=small.train, evaluation=small.evaluation, data=small.tune, champion=small.champion
    )
    assert evidence.weights == small.candidate.weights
    assert evidence.items == 8
    assert len(evidence.people) == 18
    assert evidence.gain["id_sim"].mean == pytest.approx(50)
    assert evidence.reward_gain.mean == pytest.approx(50)
    assert evidence.faces == {"base": 18, "champion": 18, "candidate": 18, "expected": 18}
    base = 100 * (0.2 + 0.01 * (2 * 0 + 3 * 1 + 2 * 2 + 2 * 3 + 3 * 4 + 5 + 2 * 6 + 3 * 7) / 18)
    assert evidence.scores["base"]["id_sim"] == pytest.approx(base)
    assert evidence.closed["judge"] == pytest.approx(50 / (85 - base))
    assert evidence.closed["reward"] == pytest.approx(50 / (85 - base - 2))
    assert evidence.measures == {"prompt_following": None, "picture_quality": None}
    assert evidence.champion_gain is not None
    assert evidence.base.licences == {"weights": "Apache-2.0"}
    assert [pack.commercial for pack in evidence.face_packs] == [True]
    assert evidence.data is not None
    assert evidence.data.identities == {f"tune-{n}" for n in range(5)}
    assert evidence.data.licences == {"CC0-1.0": 4}
    assert set(evidence.data.consents) == {"generated"}
    assert evidence.unsafe == ()
    assert evidence.made["seed"] == 3
    assert "files" not in evidence.made


def test_without_data_and_champion(small: Any) -> None:
    evidence = gather(train=small.train, evaluation=small.evaluation)
    assert evidence.data is None
    assert evidence.champion_gain is None
    assert evidence.champion_note == "there is no champion"


def test_folders_of_two_runs_do_not_mix(small: Any, tmp_path: Path) -> None:
    with pytest.raises(DiffersError, match=r"tuned with data [0-9a-f]{64}, .*held-out has"):
        gather(train=small.train, evaluation=small.evaluation, data=small.held_out)
    with pytest.raises(DiffersError, match="name the folders of one run"):
        gather(train=small.train, evaluation=small.evaluation, base=small.held_out)
    with pytest.raises(DiffersError, match="is no tuned model"):
        gather(train=small.tune, evaluation=small.evaluation)
    with pytest.raises(NotFoundError):
        gather(train=tmp_path, evaluation=small.evaluation)


def test_a_changed_byte_in_the_weights(run_of: Callable[..., Any]) -> None:
    run = run_of()
    weights = run.train / "lora.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(DiffersError, match=r"lora\.safetensors has sha256"):
        gather(train=run.train, evaluation=run.evaluation)


def test_weights_that_were_not_judged(run_of: Callable[..., Any]) -> None:
    run = run_of()
    save_file({"w": np.zeros((2, 2), np.float32)}, run.train / "lora.safetensors")
    write_manifest(run.train, {k: v for k, v in read_manifest(run.train).items() if k != "files"})
    with pytest.raises(DiffersError, match="not the weights"):
        gather(train=run.train, evaluation=run.evaluation)


def test_a_base_without_a_recorded_licence(run_of: Callable[..., Any], tmp_path: Path) -> None:
    run = run_of()
    for folder in (run.train, run.evaluation):
        facts = {k: v for k, v in read_manifest(folder).items() if k != "files"}
        facts.get("lineage", facts)["base"]["digest"] = "d" * 64
        write_manifest(folder, facts)
    summary = json.loads((run.evaluation / "summary.json").read_text())
    summary["lineage"]["base"]["digest"] = "d" * 64
    (run.evaluation / "summary.json").write_text(json.dumps(summary))
    write_manifest(
        run.evaluation, {k: v for k, v in read_manifest(run.evaluation).items() if k != "files"}
    )
    assert gather(train=run.train, evaluation=run.evaluation).base.licences == {}


def test_an_unknown_face_pack_of_the_tuning(run_of: Callable[..., Any]) -> None:
    run = run_of()
    facts = {k: v for k, v in read_manifest(run.train).items() if k != "files"}
    write_manifest(run.train, {**facts, "face_pack": {"name": "insightface:x", "digest": "e" * 64}})
    packs = gather(train=run.train, evaluation=run.evaluation).face_packs
    assert [(pack.name, pack.commercial, bool(pack.licences)) for pack in packs] == [
        ("insightface:x", None, False),
        ("open", True, True),
    ]


def test_consent_is_read_from_every_row(small: Any, tmp_path: Path) -> None:
    (like,) = [next(iter(_samples(small.tune)))]
    rows = [
        replace(like, key="a", identities=("ann", "bob"), consent="signed form 12"),
        replace(like, key="b", identities=("bob", "cem"), consent=" ", licence=""),
    ]
    write_dataset(rows, tmp_path / "mixed", {})
    record = read_record(tmp_path / "mixed")
    assert record.consents == {"signed form 12": {"ann", "bob"}, "": {"bob", "cem"}}
    assert record.licences == {"CC0-1.0": 1, "": 1}
    assert record.identities == {"ann", "bob", "cem"}


def _samples(folder: Path) -> list[Sample]:
    from umo.data.shards import Dataset

    return list(Dataset(folder))


def test_a_dataset_without_the_columns_has_no_record(small: Any, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    shutil.copytree(small.tune, foreign)
    shard = foreign / "shard-00000.parquet"
    table = pq.read_table(shard).drop_columns(["consent", "licence", "source"])
    pq.write_table(table, shard, row_group_size=100)
    write_manifest(foreign, {k: v for k, v in read_manifest(foreign).items() if k != "files"})
    record = read_record(foreign)
    assert set(record.consents) == {""}
    assert record.licences == {"": 4}
    assert isinstance(table, pa.Table)


def test_a_changed_consent_is_found(small: Any, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(small.tune, copy)
    shard = copy / "shard-00000.parquet"
    table = pq.read_table(shard)
    forged = table.set_column(
        table.schema.get_field_index("consent"), "consent", pa.array(["signed"] * len(table))
    )
    pq.write_table(forged, shard)
    with pytest.raises(DiffersError, match=r"shard-00000\.parquet has sha256"):
        read_record(copy)


def _zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}))


@pytest.mark.parametrize(
    ("name", "write", "says"),
    [
        ("model.pt", lambda path: path.write_bytes(b""), "may hold a pickle"),
        ("optimizer.BIN", lambda path: path.write_bytes(b""), "may hold a pickle"),
        ("notes.txt", lambda path: path.write_bytes(pickle.dumps([1])), "starts as a pickle"),
        ("x.safetensors", lambda path: path.write_bytes(pickle.dumps([1])), "starts as a pickle"),
        ("x.safetensors", _zip, "is a zip archive"),
        ("x.safetensors", lambda path: path.write_bytes(b"123"), "has no safetensors header"),
        ("x.safetensors", lambda path: path.write_bytes(b"\xff" * 40), "has no safetensors header"),
        ("extra.json", lambda path: path.write_text("{}"), "is not in manifest.json"),
        ("link.json", lambda path: path.symlink_to("/etc/hostname"), "is a link"),
    ],
)
def test_files_that_could_run_code(
    small: Any, tmp_path: Path, name: str, write: Callable[[Path], Any], says: str
) -> None:
    folder = tmp_path / "version"
    shutil.copytree(small.train, folder)
    write(folder / name)
    (found,) = unsafe_files(folder, read_manifest(folder)["files"])
    assert found.startswith(f"{name} {says}")


def test_a_signature_is_no_stranger(small: Any, tmp_path: Path) -> None:
    folder = tmp_path / "version"
    shutil.copytree(small.train, folder)
    (folder / "manifest.sig.json").write_text("{}")
    assert unsafe_files(folder, read_manifest(folder)["files"]) == []

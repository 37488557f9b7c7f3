"""UNO's JSON: our own comes back bit for bit, a foreign one is looked at face by face."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from services.drawn_samples import FACE_PACK, drawn
from services.tiny_training import TILE, make_sample, tiny_pack
from umo.data.check import check
from umo.data.shards import Dataset, write_dataset
from umo.data.uno_json import Foreign, export_uno, import_uno
from umo.errors import NotFoundError, UsageError
from umo.faces.packs import FacePack
from umo.files import read_manifest

FOREIGN = Foreign(licence="CC-BY-4.0", consent="signed")


def never() -> FacePack:
    raise AssertionError("no face is looked for")


def test_what_is_exported_comes_back_bit_for_bit(tmp_path: Path) -> None:
    bare = make_sample(1, 2)
    samples = [drawn("1", "ann", "bob"), bare, drawn("2", "cid")]
    digest = write_dataset(samples, tmp_path / "data", FACE_PACK)
    assert export_uno(tmp_path / "data", tmp_path / "uno") == 3
    made = import_uno(tmp_path / "uno/samples.json", tmp_path / "again", None, never)
    assert made == {"digest": digest, "samples": 3, "rejected": {}}

    items = json.loads((tmp_path / "uno/samples.json").read_text())
    for item, sample in zip(items, samples, strict=True):
        assert item["prompt"] == sample.prompt
        names = [item["image_tgt_path"], *item["image_paths"]]
        for name, picture in zip(names, (sample.target, *sample.references), strict=True):
            with Image.open(tmp_path / "uno" / name) as image:
                np.testing.assert_array_equal(np.array(image.convert("RGB")), picture)
    assert read_manifest(tmp_path / "uno", verify=True)["dataset"] == digest


def foreign(folder: Path) -> Path:
    """As UNO's own: two good ones, the second with its references in the other order."""
    folder.mkdir()
    sample = make_sample(0, 2)
    left, right = sample.target[:, :TILE], sample.target[:, TILE:]
    for name, picture in (("target", sample.target), ("left", left), ("right", right)):
        Image.fromarray(picture).save(folder / f"{name}.png")
    Image.fromarray(0 * left).save(folder / "nobody.png")
    (folder / "broken.png").write_bytes(b"")
    lines: list[dict[str, Any]] = [
        {"image_paths": ["left.png", "right.png"], "image_tgt_path": "target.png"},
        {"image_paths": ["right.png", "left.png"], "image_tgt_path": "target.png"},
        {"image_path": "right.png", "image_tgt_path": "target.png"},
        {"image_paths": ["left.png", "nobody.png"], "image_tgt_path": "target.png"},
        {"image_paths": ["left.png", "right.png"], "image_tgt_path": "left.png"},
        {"image_paths": ["left.png", "left.png"], "image_tgt_path": "target.png"},
        {"image_paths": ["broken.png"], "image_tgt_path": "target.png"},
        {"image_paths": ["none.png"], "image_tgt_path": "target.png"},
        {"image_paths": ["left.png"]},
    ]
    path = folder / "train.json"
    path.write_text(json.dumps([{"prompt": "people", **line} for line in lines]))
    return path


def test_a_foreign_file_gets_faces_and_every_reject_a_reason(tmp_path: Path) -> None:
    made = import_uno(foreign(tmp_path / "uno"), tmp_path / "data", FOREIGN, tiny_pack)
    assert made["samples"] == 3
    assert made["rejected"] == {
        "a reference without exactly one face": 1,
        "a person is missing in the target": 1,
        "a reference that is there twice": 1,
        "a picture that is missing or cannot be read": 2,
        "no prompt, target or reference": 1,
    }
    assert check([tmp_path / "data"]) == []
    assert read_manifest(tmp_path / "data")["rejected"] == made["rejected"]
    first, second, alone = Dataset(tmp_path / "data")
    assert first.identities == ("left.png", "right.png")
    np.testing.assert_array_equal(first.boxes, second.boxes[::-1])
    np.testing.assert_array_equal(alone.boxes, first.boxes[1:])
    assert (alone.licence, alone.consent, alone.source) == ("CC-BY-4.0", "signed", "imported")


def test_what_cannot_be_imported_is_one_line(tmp_path: Path) -> None:
    out, path = tmp_path / "data", foreign(tmp_path / "uno")
    with pytest.raises(UsageError, match=r"does not say the licence .* give --licence and"):
        import_uno(path, out, None, never)
    with pytest.raises(NotFoundError, match="no file"):
        import_uno(tmp_path / "none.json", out, FOREIGN, never)
    path.write_text("{")
    with pytest.raises(UsageError, match="is not JSON"):
        import_uno(path, out, FOREIGN, never)
    path.write_text('{"a": 1}')
    with pytest.raises(UsageError, match="is not a list of samples"):
        import_uno(path, out, FOREIGN, never)
    assert not out.exists()

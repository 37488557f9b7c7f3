"""What a call says, what is refused before it is sent, and what an answer becomes."""

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from umo.errors import NotFoundError, UmoError, UsageError
from umo_serving.client import wire
from umo_serving.client.generation import Generation
from umo_serving.client.order import Order

RED = Image.new("RGB", (40, 30), "red")


def png(picture: Image.Image, **settings: Any) -> bytes:
    stream = BytesIO()
    picture.save(stream, format="PNG", **settings)
    return stream.getvalue()


def values(order: Order) -> dict[str, list[Any]]:
    return {tensor.name: list(tensor.values) for tensor in order.infer("umo").inputs}


def test_only_what_was_said_is_sent() -> None:
    order = Order.of("two people", [], {"steps": 3, "guidance": None})
    assert values(order).keys() == {"PROMPT", "REFERENCES", "SEED", "STEPS"}
    everything = Order.of(
        "two people",
        [],
        {
            "seed": 7,
            "steps": 3,
            "guidance": 2.5,
            "width": 192,
            "height": 96,
            "images": 2,
            "matches": True,
            "request_id": "a",
        },
    )
    assert values(everything) == {
        "PROMPT": [b"two people"],
        "REFERENCES": [],
        "SEED": [7],
        "STEPS": [3],
        "GUIDANCE": [2.5],
        "WIDTH": [192],
        "HEIGHT": [96],
        "IMAGES": [2],
        "MATCHES": [True],
    }
    assert everything.infer("umo").request_id == "a"


def test_each_call_draws_its_own_seed_and_id() -> None:
    first, second = Order.of("a", [], {}), Order.of("a", [], {})
    assert first.request_id != second.request_id
    assert first.seed != second.seed
    assert values(first)["SEED"] == [first.seed]


def test_references_are_pictures_paths_or_bytes(tmp_path: Path) -> None:
    file = tmp_path / "red.png"
    RED.save(file)
    order = Order.of("a", [RED, file, str(file), file.read_bytes()], {})
    for encoded in values(order)["REFERENCES"]:
        assert Image.open(BytesIO(encoded)).convert("RGB").tobytes() == RED.tobytes()


def test_a_turned_picture_is_sent_upright_and_without_its_metadata() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "a camera"
    turned = Image.open(BytesIO(png(RED, exif=exif)))
    (encoded,) = values(Order.of("a", [turned], {}))["REFERENCES"]
    sent = Image.open(BytesIO(encoded))
    assert sent.size == (30, 40)
    assert not sent.getexif()


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "RGBA", "I;16", "1"])
def test_pictures_of_any_mode_are_sent(mode: str) -> None:
    (encoded,) = values(Order.of("a", [Image.new(mode, (32, 32))], {}))["REFERENCES"]
    assert Image.open(BytesIO(encoded)).mode == ("RGBA" if mode == "RGBA" else "RGB")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps is 0, not between 1 and 100"),
        ({"steps": 2.5}, "steps is 2.5, not a whole number"),
        ({"guidance": float("nan")}, "guidance is nan, not between"),
        ({"guidance": "high"}, "guidance is 'high', not a number"),
        ({"seed": -1}, "seed is -1, not between"),
        ({"seed": 2**63}, "not between"),
        ({"images": 99}, "images is 99, not between 1 and 4"),
        ({"width": 100}, "width is 100, not a multiple of 16"),
        ({"width": 2048, "height": 1024}, "2048 x 1024 is 2097152 pixels, at most 1048576"),
        ({"stepz": 3}, "unknown option 'stepz'; known: .*steps"),
    ],
)
def test_options_outside_their_limits(options: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Order.of("two people", [], options)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("", "the prompt is empty"),
        (" \n", "the prompt is empty"),
        ("a" * 2_001, "the prompt has 2001 characters, at most 2000"),
        ("\ud800", "no valid Unicode"),
        (None, "the prompt is a NoneType, not text"),
    ],
)
def test_prompts_outside_their_limits(prompt: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Order.of(prompt, [], {})


@pytest.mark.parametrize(
    ("references", "message"),
    [
        ([RED] * 5, "5 references, at most 4"),
        (RED, "references is one picture; give a list"),
        ("anna.png", "references is one picture; give a list"),
        ([RED, 3], "reference 2 is a int; give a PIL image, a path or bytes"),
        ([RED, b"no picture"], "reference 2 is no picture; send one of PNG, JPEG, WEBP"),
        ([RED, Image.new("RGB", (8, 40))], "reference 2 is 8 x 40, its sides not between"),
        ([RED, Path(__file__).parent], "reference 2: cannot read"),
    ],
)
def test_references_outside_their_limits(references: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Order.of("two people", references, {})


def test_a_reference_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"reference 1: no file at .*anna\.png"):
        Order.of("two people", [tmp_path / "anna.png"], {})


def answer(**changes: Any) -> wire.Outputs:
    return {
        "PICTURES": [png(RED), png(RED)],
        "SEED": [5, 6],
        "MODEL_VERSION": [b"3"],
        "MODEL_DIGEST": [b"ab12"],
        "MATCHES": [json.dumps([{"score": 0.5}, {"score": 0.25}]).encode()],
        **changes,
    }


ORDER = Order.of("zwei Leute, 日本", [], {"seed": 5, "images": 2, "request_id": "an-id"})


def test_an_answer_is_a_list_of_pictures() -> None:
    made = Generation.of(ORDER, answer())
    assert [picture.tobytes() for picture in made] == [RED.tobytes()] * 2
    assert made.seeds == [5, 6]
    assert (made.model_version, made.model_digest) == ("3", "ab12")
    assert [match["score"] for match in made.matches] == [0.5, 0.25]


@pytest.mark.parametrize(
    "changes",
    [{"PICTURES": [b"no png"]}, {"PICTURES": [png(RED)[:60]]}, {"MATCHES": [b"{"]}, {"SEED": []}],
)
def test_an_answer_that_is_none_of_ours(changes: dict[str, Any]) -> None:
    with pytest.raises(UmoError, match="answer cannot be read"):
        Generation.of(ORDER, answer(**changes))


def test_saved_pictures_say_where_they_come_from(tmp_path: Path) -> None:
    made = Generation.of(ORDER, answer())
    files = made.save(tmp_path / "table.png")
    assert [file.name for file in files] == ["table-1.png", "table-2.png"]
    for file, seed in zip(files, ("5", "6"), strict=True):
        with Image.open(file) as picture:
            assert picture.tobytes() == RED.tobytes()
            assert picture.info == {
                "prompt": "zwei Leute, 日本",
                "seed": seed,
                "model_version": "3",
                "model_digest": "ab12",
                "request_id": "an-id",
            }


def test_one_picture_keeps_its_name(tmp_path: Path) -> None:
    made = Generation.of(ORDER, answer(PICTURES=[png(RED)], SEED=[5]))
    assert made.save(tmp_path / "table.png") == [tmp_path / "table.png"]


def test_only_png_is_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"table\.jpg does not end in \.png"):
        Generation.of(ORDER, answer()).save(tmp_path / "table.jpg")


def test_a_picture_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UmoError, match="cannot write"):
        Generation.of(ORDER, answer()).save(tmp_path / "file" / "table.png")

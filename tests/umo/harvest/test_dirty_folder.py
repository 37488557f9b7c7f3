"""A folder as people have them: every file is read or refused by name, for the right reason."""

import io
import json
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from services.footage import scene
from services.png import deep_png
from umo.config import from_mapping
from umo.data.shards import Dataset
from umo.harvest.harvest import HarvestConfig
from umo.harvest.read import Mend, Reason
from umo.harvest.sources import Source
from umo.steps import harvest as step

FILES = 160
ORIENTATION = 0x0112

Files = dict[str, bytes]


def encoded(image: Pillow.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format=kind, **options)
    return stream.getvalue()


def people() -> Files:
    """Two people together and alone: what a harvest needs for a sample."""
    scenes = {
        "people/both.jpg": scene([5, 6], [0.2, -0.2], "in a park", seed=1),
        "people/one.jpg": scene([5], [-0.25], "at sunset", seed=2),
        "people/other.jpg": scene([6], [0.25], "by a window", seed=3),
    }
    return {
        name: encoded(Pillow.fromarray(pixels), "JPEG", quality=92)
        for name, pixels in scenes.items()
    }


def plain(number: int) -> Pillow.Image:
    """A small picture without people, unlike any other one."""
    rough = np.random.default_rng(number).integers(0, 256, (6, 8, 3), np.uint8)
    return Pillow.fromarray(rough).resize((96, 72), Pillow.Resampling.BICUBIC)


def damaged() -> dict[Reason, Files]:
    """One file in twenty of the folder."""
    jpeg, png, webp = (encoded(plain(n), kind) for n, kind in enumerate(("JPEG", "PNG", "WEBP")))
    flipped = bytearray(png)
    flipped[len(png) // 2] ^= 0xFF
    return {
        Reason.EMPTY: {"bad/empty.jpg": b"", "bad/empty.png": b""},
        Reason.BROKEN: {
            "bad/half.jpg": jpeg[: len(jpeg) // 2],
            "bad/half.png": png[: len(png) // 2],
            "bad/half.webp": webp[: len(webp) // 2],
            "bad/flipped.png": bytes(flipped),
        },
        Reason.OTHER: {
            "bad/noise.jpg": np.random.default_rng(0).bytes(4000),
            "bad/page.jpg": b"<html>moved</html>",
        },
    }


def odd_refused() -> dict[Reason, Files]:
    """Files that are whole, and still no single picture of a size that can be held."""
    later = {"save_all": True, "append_images": [plain(11)]}
    return {
        Reason.ANIMATED: {
            f"odd/moving.{kind}": encoded(plain(10), kind, **later)
            for kind in ("gif", "png", "webp")
        },
        Reason.HUGE: {"odd/huge.png": encoded(Pillow.new("L", (10_000, 10_000)), "PNG")},
    }


def odd_read() -> dict[Mend, Files]:
    """Files that need something put right."""
    grey = np.array(plain(20).convert("L")).astype(np.uint16) * 257
    turned = {}
    for orientation in range(2, 9):
        exif = Pillow.Exif()
        exif[ORIENTATION] = orientation
        name = f"odd/turned-{orientation}.jpg"
        turned[name] = encoded(plain(20 + orientation), "JPEG", exif=exif)
    return {
        Mend.TURNED: turned,
        Mend.CMYK: {
            "odd/cmyk.jpg": encoded(plain(30).convert("CMYK"), "JPEG"),
            "odd/cmyk.tiff": encoded(plain(31).convert("CMYK"), "TIFF"),
        },
        Mend.DEEP: {
            "odd/deep-grey.png": encoded(Pillow.fromarray(grey), "PNG"),
            "odd/deep-grey.tiff": encoded(Pillow.fromarray(grey[::-1]), "TIFF"),
            "odd/deep-colour.png": deep_png(np.stack([grey, grey // 2, grey // 4], axis=2)),
        },
        Mend.MISLABELLED: {
            "odd/a-png.jpg": encoded(plain(40), "PNG"),
            "odd/a-jpeg.png": encoded(plain(41), "JPEG"),
            "odd/a-webp.JPG": encoded(plain(42), "WEBP"),
        },
    }


def test_every_file_is_read_or_refused_by_name(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    bad, odd, mended = damaged(), odd_refused(), odd_read()
    assert sum(map(len, bad.values())) == FILES * 5 // 100
    huge = {"odd/huge.jpg": encoded(plain(50).resize((10_000, 10_000)), "JPEG")}
    given = people() | huge
    for group in (*bad.values(), *odd.values(), *mended.values()):
        given |= group
    given |= {
        f"{number:03d}.jpg": encoded(plain(100 + number), "JPEG")
        for number in range(FILES - len(given) - 1)
    }
    for name, data in given.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (folder / "odd" / "dangling.jpg").symlink_to(folder / "nowhere.jpg")
    expected = {name: reason.value for reason, group in (bad | odd).items() for name in group} | {
        "odd/dangling.jpg": Reason.UNREADABLE.value
    }

    config = from_mapping(HarvestConfig, {"units": {"block": 40}})
    source = Source(kind="photos", folder=folder, licence="CC0-1.0", consent="nobody is shown")
    step.run(config, [source], folder=tmp_path / "out")

    found = Dataset(tmp_path / "out").manifest["harvest"]
    lines = (tmp_path / "out-report" / "refused.jsonl").read_text().splitlines()
    refused = [json.loads(line) for line in lines]
    assert len(refused) == len(expected)
    assert {line["file"]: line["reason"] for line in refused} == expected
    assert found["refused"] == Counter(expected.values())
    assert found["mends"] == {mend: len(group) for mend, group in mended.items()}
    assert found["counts"]["files"] == FILES
    assert found["counts"]["pictures"] + len(refused) == FILES
    assert len(Dataset(tmp_path / "out")) == 1

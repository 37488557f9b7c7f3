"""The report of a harvest: one self-contained page that shows what was kept, and why not the rest.

It shows people; it is written for its owner alone to read, and belongs with the dataset.
"""

import colorsys
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw

from umo import config as settings
from umo.data.schema import Image
from umo.evaluation.page import environment, webp_uri
from umo.files import atomic_folder, write_manifest
from umo.harvest.album import Album, People, Rows
from umo.harvest.choose import Choice
from umo.harvest.quality import RULES
from umo.harvest.samples import identity
from umo.harvest.units import CUT, ENDS, EXAMPLES, Worked

if TYPE_CHECKING:
    from umo.harvest.harvest import HarvestConfig

TEMPLATES = Path(__file__).parent / "templates"
SAMPLES = 24
"""Shown in the gallery, evenly spread."""
PEOPLE = 16
"""Shown as clusters, those in the most clips."""
FACES = 10
"""Shown of each."""
REJECTED = 12
"""Shown of each reason."""
COMPARED = 750
"""Tracks whose cosines stand in the histogram, evenly spread."""
TARGET_HEIGHT = 300
FACE_SIDE = 88
TITLES = {
    "score": "Detector's score",
    "side": "Side of the face, px",
    "cover": "Covered or outside",
    "yaw": "Turn, degrees",
    "pitch": "Nod, degrees",
    "roll": "Tilt, degrees",
    "brightness": "Brightness",
    "contrast": "Contrast",
    "sharpness": "Sharpness",
    CUT: "Change of colours between frames",
}

Bar = dict[str, float]


def write_report(
    folder: Path,
    album: Album,
    people: People,
    choices: Sequence[Choice],
    *,
    config: "HarvestConfig",
    summary: Mapping[str, Any],
    seconds: Mapping[str, float],
    dataset: str,
) -> None:
    """Write `report.html` and `refused.jsonl`, the files that gave no picture, with a manifest.

    Args:
        folder: Replaced if it exists.
        album: What was found.
        people: Who it is.
        choices: The samples.
        config: The settings.
        summary: What was counted.
        seconds: Spent in each part; may be empty.
        dataset: Its digest, for who deletes a person from it and what shows it; or empty.
    """
    refused = list(_refused(album))
    page = (
        environment(TEMPLATES)
        .get_template("harvest.html")
        .render(
            summary=summary,
            samples=len(choices),
            gallery=[_card(album, people, choice, config) for choice in spread(choices, SAMPLES)],
            clusters=_clusters(album, people),
            rejected=_rejected(album),
            histograms=_histograms(album, people, config),
            refused=refused,
            sources=album.listing.sources,
            seconds=seconds,
            settings=json.dumps(settings.to_mapping(config), indent=1),
        )
    )
    with atomic_folder(folder) as staged:
        staged.chmod(0o700)
        (staged / "report.html").write_text(page, encoding="utf-8")
        lines = "".join(json.dumps(line) + "\n" for line in refused)
        (staged / "refused.jsonl").write_text(lines, encoding="utf-8")
        write_manifest(staged, {"kind": "harvest report", "dataset": dataset})


def colour(person: int) -> str:
    """The colour of a person: hues a golden angle apart."""
    red, green, blue = colorsys.hls_to_rgb((person * 0.381966) % 1, 0.55, 0.8)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"


def spread(items: Sequence[Any], most: int) -> list[Any]:
    """At most `most` items, evenly spread from first to last."""
    places = np.unique(np.linspace(0, len(items) - 1, min(most, len(items))).round().astype(int))
    return [items[place] for place in places]


def _refused(album: Album) -> list[dict[str, str]]:
    lines = []
    for number, path in enumerate(album.paths):
        source = album.listing.units[number].source
        for reason, names in sorted(Worked(path).facts["refused"].items()):
            lines += [{"reason": reason, "source": str(source), "file": name} for name in names]
    return lines


def _card(album: Album, people: People, choice: Choice, config: "HarvestConfig") -> dict[str, Any]:
    image = Pillow.fromarray(album.pixels(choice.picture, config.units.read))
    scale = min(1.0, TARGET_HEIGHT / image.height)
    image = image.resize((round(image.width * scale), round(image.height * scale)))
    draw = ImageDraw.Draw(image)
    shown = []
    for face, picked in zip(choice.faces, choice.references, strict=True):
        person = int(people.face[face])
        corners = [float(value) * scale for value in album["face.box"][face]]
        draw.rectangle(corners, outline=colour(person), width=3)
        shown.append(
            {
                "colour": colour(person),
                "id": identity(album, person),
                "references": [_thumbnail(album.crop(reference)) for reference in picked],
                "clips": [album.name(int(album["face.picture"][r])) for r in picked],
            }
        )
    return {
        "uri": webp_uri(image, quality=80),
        "name": album.name(choice.picture),
        "grade": choice.grade,
        "people": shown,
    }


def _clusters(album: Album, people: People) -> list[dict[str, Any]]:
    known = np.flatnonzero(people.face >= 0)
    pairs = np.unique(np.stack([people.face[known], album.clip[known]], axis=1), axis=0)
    persons, clips = np.unique(pairs[:, 0], return_counts=True)
    order = np.lexsort((persons, -clips))[:PEOPLE]
    rows = []
    for person, count in zip(persons[order].tolist(), clips[order].tolist(), strict=True):
        faces = np.flatnonzero(people.face == person).tolist()
        rows.append(
            {
                "id": identity(album, person),
                "colour": colour(person),
                "clips": count,
                "faces": len(faces),
                "crops": [_thumbnail(album.crop(face)) for face in spread(faces, FACES)],
            }
        )
    return rows


def _rejected(album: Album) -> dict[str, list[str]]:
    shown: dict[str, list[str]] = defaultdict(list)
    for path in spread(album.paths, REJECTED * len(RULES) // EXAMPLES):
        unit = Worked(path)
        for reason, names in unit.facts["examples"].items():
            room = REJECTED - len(shown[reason])
            shown[reason] += [_thumbnail(unit.image(name)) for name in names[:room]]
    order = [rule.reason for rule in RULES]
    return {reason: shown[reason] for reason in order if shown[reason]}


def _histograms(album: Album, people: People, config: "HarvestConfig") -> list[dict[str, Any]]:
    counted = album.totals.histograms
    plots = []
    for name, ends in ENDS.items():
        rules = [rule for rule in RULES if rule.measure == name]
        limits = [float(getattr(config.units.quality, rule.setting)) for rule in rules]
        allowed = " and ".join(
            f"{'at least' if rule.least else 'at most'} {limit:g}"
            for rule, limit in zip(rules, limits, strict=True)
        )
        plots.append(_plot(TITLES[name], [("", counted[name])], ends, limits, allowed))
    if counted[CUT].any():
        cut = config.units.video.cut
        plots.append(
            _plot(TITLES[CUT], [("", counted[CUT])], (0, 1), [cut], f"a cut above {cut:g}")
        )
    same = config.clusters.same
    title, said = "Cosine of two tracks", f"clusters join at a mean of {same:g}"
    plots.append(_plot(title, _cosines(album, people), (-0.5, 1), [same], said))
    return plots


def _cosines(album: Album, people: People) -> list[tuple[str, Rows]]:
    tracks = np.array(spread(range(album.tracks), COMPARED), np.int64)
    vectors = np.asarray(album.vectors)[tracks] if len(tracks) else np.zeros((0, 1), np.float32)
    pairs = np.triu_indices(len(tracks), 1)
    cosine = (vectors @ vectors.T)[pairs]
    alike = (people.track[tracks][:, None] == people.track[tracks])[pairs]
    bins = np.linspace(-0.5, 1, 41)
    return [
        (name, np.histogram(np.clip(cosine[which], -0.5, 1), bins)[0])
        for name, which in (("other cluster", ~alike), ("same cluster", alike))
    ]


def _plot(
    title: str,
    series: Sequence[tuple[str, Rows]],
    ends: tuple[float, float],
    limits: Sequence[float],
    said: str,
) -> dict[str, Any]:
    """Bars as parts of 100 x 100; the highest bar of each series is 100 high."""
    width = ends[1] - ends[0]
    return {
        "title": title,
        "said": said,
        "ends": [f"{end:g}" for end in ends],
        "count": int(sum(int(bins.sum()) for _, bins in series)),
        "series": [
            {"name": name, "bars": [100 * float(count) / max(1, bins.max()) for count in bins]}
            for name, bins in series
        ],
        "limits": [100 * min(1.0, max(0.0, (limit - ends[0]) / width)) for limit in limits],
    }


def _thumbnail(pixels: Image) -> str:
    image = Pillow.fromarray(pixels)
    image.thumbnail((FACE_SIDE, FACE_SIDE))
    return webp_uri(image, quality=80)

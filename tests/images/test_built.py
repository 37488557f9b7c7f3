"""Both images, really built, do their work with a read-only root and without a network."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image as Pillow

from services.images import Image, images
from umo.files import read_manifest

pytestmark = pytest.mark.images
Images = Callable[[str], Image]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Images]:
    with images(tmp_path_factory.mktemp("store")) as unpacked:
        yield unpacked


def test_components(image: Images, tmp_path: Path) -> None:
    """The doctor is content; a dataset is rendered, and a step of training ends in a LoRA."""
    components = image("components")
    runs = tmp_path / "runs"
    volumes = {"/tmp": tmp_path / "tmp", "/srv": runs}
    for name, command in {
        "doctor": "umo doctor",
        "render": "umo data render --out /srv/data --set samples=4",
        "train": "umo train --data /srv/data --out /srv/lora --set steps=1 --set batch=2",
    }.items():
        print(components.run(*command.split(), volumes=volumes, log=tmp_path / name))
    assert read_manifest(runs / "lora", verify=True)["kind"] == "lora"


def test_serving(image: Images, tmp_path: Path) -> None:
    """A server of the shipped reference model starts, paints, says how it is, and ends."""
    script = """
    folder="--folder /var/lib/umo/serving"
    umo=$(python -c 'import umo; print(umo.__path__[0])')
    people=$(python -c 'import umo_serving; print(umo_serving.__path__[0])')/probe
    umo serve up $folder --model "$umo/assets/reference"
    umo serve generate "Two people" --reference "$people/1.png" --reference "$people/2.png" \
      --steps 2 --out /tmp/picture.png
    umo serve status $folder
    umo serve down $folder
    """
    volumes = {"/tmp": tmp_path / "tmp", "/var/lib/umo": tmp_path / "state"}
    serving = image("serving")
    print(serving.run("sh", "-ec", script, volumes=volumes, log=tmp_path / "serving"))
    with Pillow.open(tmp_path / "tmp" / "picture.png") as picture:
        assert picture.size == (192, 96)

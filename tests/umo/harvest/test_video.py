"""Frames of a video: sampled in time, cut into shots, without those like the one before."""

from pathlib import Path

import numpy as np
import pytest

from services.footage import RATE, Shot, write_video
from umo.harvest.read import ReadConfig, Reason, RefusedError
from umo.harvest.video import Frame, Video, VideoConfig, distance, histogram


def frames(path: Path, every: float = 0.5) -> list[Frame]:
    return list(Video(path, VideoConfig(every=every), ReadConfig(), 10).frames())


def refused(path: Path) -> Reason:
    with pytest.raises(RefusedError) as caught:
        frames(path)
    return caught.value.reason


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[int]]:
    path = tmp_path_factory.mktemp("film") / "film.avi"
    shots = [
        Shot(people=(0, 1), yaws=(0.1, -0.1), place="by a window", pan=8),
        Shot(people=(2,), yaws=(0.0,), place="in a park"),
        Shot(people=(1,), yaws=(0.2,), place="at sunset", pan=-10),
    ]
    return path, write_video(path, shots)


def test_cuts_are_found_and_pans_are_not_cuts(film: tuple[Path, list[int]]) -> None:
    path, owner = film
    found = frames(path)
    assert [round(frame.seconds * RATE) for frame in found] == list(range(0, 24, 2))
    assert [frame.shot for frame in found] == [owner[number] for number in range(0, 24, 2)]
    still = [frame for frame in found if frame.shot == 1]
    assert [frame.duplicate for frame in still] == [False, True, True, True]
    assert not any(frame.duplicate for frame in found if frame.shot != 1)


def test_frames_are_sampled_by_time(film: tuple[Path, list[int]]) -> None:
    assert len(frames(film[0], every=2.0)) == 3
    assert len(frames(film[0], every=0.01)) == 24


def test_a_file_that_ends_early_gives_what_it_has(
    film: tuple[Path, list[int]], tmp_path: Path
) -> None:
    path = tmp_path / "half.avi"
    data = film[0].read_bytes()
    path.write_bytes(data[: len(data) // 2])
    video = Video(path, VideoConfig(), ReadConfig(), 10)
    count = len(list(video.frames()))
    assert 3 <= count < 12
    assert video.cut_short


def test_what_is_no_video_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.mp4").touch()
    assert refused(tmp_path / "empty.mp4") == Reason.EMPTY
    (tmp_path / "text.mp4").write_text("not a film " * 500)
    assert refused(tmp_path / "text.mp4") == Reason.OTHER
    (tmp_path / "noise.avi").write_bytes(np.random.default_rng(0).bytes(50_000))
    assert refused(tmp_path / "noise.avi") == Reason.OTHER
    assert refused(tmp_path / "missing.avi") == Reason.UNREADABLE
    assert capfd.readouterr() == ("", "")


def test_the_distance_of_colours() -> None:
    red, blue = np.zeros((2, 40, 40, 3), np.uint8)
    red[..., 0], blue[..., 2] = 255, 255
    assert distance(histogram(red), histogram(red)) == 0
    assert distance(histogram(red), histogram(blue)) == 1


def test_settings() -> None:
    with pytest.raises(ValueError, match="every"):
        VideoConfig(every=0)
    with pytest.raises(ValueError, match="cut"):
        VideoConfig(cut=2)

import pytest
import torch

from umo.bases.omnigen2_schedule import DualGuidance, combine, progress, shift, times
from umo.errors import UsageError


def test_a_square_of_1024_px_is_shifted_by_3_2():
    assert shift(1024, 1024) == pytest.approx(3.2)
    assert shift(512, 2048) == pytest.approx(3.2)


def test_times_run_from_noise_to_data():
    found = times(4, 1024, 1024)
    u = [0.25, 0.5, 0.75]
    expected = [0.0, *(v / (3.2 - 3.2 * v + v) for v in u), 1.0]
    assert found.tolist() == pytest.approx(expected)
    assert found[2] == pytest.approx(0.5 / 2.1)
    assert times(4, 1024, 1024, shifted=False).tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize("shifted", [True, False])
def test_progress_undoes_the_shift(shifted):
    found = progress(times(50, 768, 512, shifted=shifted), 768, 512, shifted=shifted)
    assert found.tolist() == pytest.approx([i / 50 for i in range(51)])


@pytest.mark.parametrize(
    ("text", "image", "calls", "expected"),
    [
        (5.0, 2.0, ["full", "references", "nothing"], 1 + 2 * (10 - 1) + 5 * (100 - 10)),
        (5.0, 1.0, ["full", "nothing"], 1 + 5 * (100 - 1)),
        (1.0, 2.0, ["full"], 100),
        (1.0, 1.0, ["full"], 100),
        (0.0, 0.0, ["full"], 100),
    ],
)
def test_guidance(text, image, calls, expected):
    values = {"full": 100.0, "references": 10.0, "nothing": 1.0}
    made = []

    def call(kind):
        made.append(kind)
        return torch.tensor(values[kind])

    assert combine(call, text=text, image=image) == expected
    assert made == calls


def test_the_negative_prompt_is_that_of_the_scripts():
    prompt = DualGuidance().negative_prompt
    assert prompt.startswith("(((deformed))), blurry, over saturation, bad anatomy, disfigured,")
    assert prompt.endswith("messy drawing, broken legs censor, censored, censor_bar")
    assert len(prompt.split(", ")) == 16


@pytest.mark.parametrize("limits", [(0.5, 0.2), (-0.1, 1.0), (0.0, 1.1)])
def test_limits_of_guidance_are_parts_of_the_steps(limits):
    with pytest.raises(UsageError, match="guidance runs from"):
        DualGuidance(first=limits[0], last=limits[1])

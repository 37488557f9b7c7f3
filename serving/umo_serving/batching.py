"""Step-level batching: pictures of one shape are denoised together, whatever step each is at.

A picture is a row of the batch with its own sigma. After every step rows may leave (finished,
cancelled) and others join, so that nobody waits for somebody else's last step:

    x <- x + (sigma[k+1] - sigma[k]) * velocity(x, sigma[k])        k is the row's own step

The oldest call decides which shape is next, so every call's turn comes.
"""

import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field

import torch
from torch import Tensor

from umo.bases.protocol import Conditioning, ReferenceModel, device_of
from umo.training.memory import FULL, Precision
from umo_serving.request import CancelledError


@dataclass(eq=False, kw_only=True)
class Row:
    """One picture on its way from noise to latents."""

    latents: Tensor
    """`[C,h,w]`."""
    clean: Tensor
    """The finished latents as the last step foresaw them, `[C,h,w]`."""
    step: int = 0
    """Steps done."""


@dataclass(eq=False, kw_only=True)
class Job:
    """The rows of one call."""

    conditioning: Conditioning
    """Of one row; the pictures of a call share it."""
    sigmas: Tensor
    """`[steps+1]`, from 1 to 0."""
    guidance: float
    """Strength of the prompt."""
    rows: list[Row]
    """One for each picture."""
    on_step: Callable[["Job"], None]
    """Called after each step of any of its rows."""
    cancelled: Callable[[], bool]
    """Asked before each step."""
    done: Future[list[Tensor]] = field(default_factory=Future)
    """Latents `[C,h,w]` of each picture."""

    @property
    def steps(self) -> int:
        """Denoising steps of each row."""
        return len(self.sigmas) - 1

    @property
    def step(self) -> int:
        """Steps done by every row."""
        return min(row.step for row in self.rows)

    @property
    def shape(self) -> tuple[object, ...]:
        """Rows of jobs with equal shapes can be denoised together, without any padding."""
        pictures = (self.rows[0].latents, *self.conditioning.references)
        words = self.conditioning.text.shape[1]
        return (self.guidance, words, *(tuple(picture.shape[-3:]) for picture in pictures))


class Denoiser:
    """A thread that denoises the rows of all jobs.

    Args:
        model: The model that paints.
        rows: Most rows of a batch.
        precision: What velocities are computed in.
    """

    def __init__(self, model: ReferenceModel, *, rows: int, precision: Precision = FULL) -> None:
        self._model = model
        self._precision = precision
        self._rows = rows
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="denoiser", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Queue a job; its future is the answer."""
        with self._changed:
            if self._closed:
                job.done.set_exception(CancelledError())
                return
            self._jobs.append(job)
            self._changed.notify()

    def close(self) -> None:
        """Stop after the current step; jobs that are not done are cancelled."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()
        self._leave({job: CancelledError() for job in list(self._jobs)})

    @torch.no_grad()
    def _run(self) -> None:
        while batch := self._next():
            try:
                self._step(batch)
            except Exception as error:
                self._leave({job: error for job, _ in batch})
                continue
            jobs = {job: None for job, _ in batch}
            failed = {job: fault for job in jobs if (fault := _reported(job))}
            self._leave(failed)
            self._leave({job: None for job in jobs if job not in failed and job.step == job.steps})

    def _next(self) -> list[tuple[Job, Row]]:
        """Rows to denoise next, oldest job first; waits for the first one, empty when closed."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs or self._closed)
                if self._closed:
                    return []
                jobs = list(self._jobs)
            gone = {job: CancelledError() for job in jobs if job.cancelled()}
            self._leave(gone)
            left = [job for job in jobs if job not in gone]
            if left:
                shape = left[0].shape
                rows = [
                    (job, row)
                    for job in left
                    if job.shape == shape
                    for row in job.rows
                    if row.step < job.steps
                ]
                return rows[: self._rows]

    def _step(self, batch: list[tuple[Job, Row]]) -> None:
        jobs = [job for job, _ in batch]
        latents = torch.stack([row.latents for _, row in batch])
        now = torch.stack([job.sigmas[row.step] for job, row in batch])
        following = torch.stack([job.sigmas[row.step + 1] for job, row in batch])
        conditioning = Conditioning.joined([job.conditioning for job in jobs])
        with self._precision.autocast(latents.device):
            velocity = self._model.velocity(latents, now, conditioning, guidance=jobs[0].guidance)
        moved = latents + (following - now)[:, None, None, None] * velocity
        clean = latents - now[:, None, None, None] * velocity
        for number, (_, row) in enumerate(batch):
            row.latents, row.clean, row.step = moved[number], clean[number], row.step + 1

    def _leave(self, jobs: Mapping[Job, Exception | None]) -> None:
        with self._changed:
            for job in jobs:
                self._jobs.remove(job)
        for job, error in jobs.items():
            if error:
                job.done.set_exception(error)
            else:
                job.done.set_result([row.latents for row in job.rows])


def start(
    model: ReferenceModel,
    conditioning: Conditioning,
    *,
    size: tuple[int, int],
    steps: int,
    guidance: float,
    seeds: list[int],
    on_step: Callable[[Job], None],
    cancelled: Callable[[], bool],
) -> Job:
    """A job whose rows are the noise of their seeds.

    Args:
        model: The model that will paint.
        conditioning: Of one row.
        size: Width and height of the pictures in pixels.
        steps: Denoising steps.
        guidance: Strength of the prompt.
        seeds: One for each picture.
        on_step: Called after each step of any of its rows.
        cancelled: Asked before each step.
    """
    from umo.training.rollout import start_noise

    width, height = size
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    noise = start_noise(model, height, width, generators)
    return Job(
        conditioning=conditioning,
        sigmas=model.sigmas(steps, height, width).to(device_of(model.transformer)),
        guidance=guidance,
        rows=[Row(latents=latents, clean=latents) for latents in noise],
        on_step=on_step,
        cancelled=cancelled,
    )


def _reported(job: Job) -> Exception | None:
    """Report a step; what goes wrong there is the job's own affair."""
    try:
        job.on_step(job)
    except Exception as error:
        return error
    return None

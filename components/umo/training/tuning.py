"""One run of ReReFL, step by step: what it is now, and how it goes on from a checkpoint."""

import json
import logging
import math
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, astuple
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from umo.bases.protocol import ReferenceModel
from umo.config import to_mapping
from umo.data.shards import Dataset
from umo.errors import DiffersError, NotFoundError, UmoError
from umo.faces.packs import FacePack
from umo.files import (
    MANIFEST,
    manifest_text,
    read_manifest,
    remove_staged,
    sha256,
    write_errors,
    write_text,
)
from umo.lineage import code_version
from umo.training.cache import EncodedDataset, Group, batches
from umo.training.checkpoint import Checkpoint, Checkpoints
from umo.training.config import RereflConfig
from umo.training.encoded import encode_once
from umo.training.interrupt import Interruption
from umo.training.log import append_line, machine, peak_memory
from umo.training.memory import choose_precision, recompute_blocks
from umo.training.mixture import Mixture
from umo.training.objective import Objective
from umo.training.operations import costs_of, rate_of
from umo.training.parallel import World
from umo.training.samples import SAMPLES, SampleGrid
from umo.training.state import State
from umo.training.trained import Trained
from umo.training.vigil import Vigil

METRICS = "metrics.jsonl"
ALARM = 5
"""Looks of the judge without a rise after which there is an alarm if the reward has risen."""
FACELESS = 10
"""After so many steps in a row without a face in any picture a run ends: it cannot learn."""

Progress = Callable[[dict[str, Any]], None]

log = logging.getLogger(__name__)


class Tuning:
    """A run; `begin` comes first, then `step` until it is `over`, then `close`.

    Args:
        config: What to optimise and how.
        base: The model.
        dataset: Prompts, targets and references.
        pack: Detector and reward embedder.
        out: Folder of weights, metrics and manifest.
        world: The processes that train together.
        progress: Called in the first process with `phase`, `done`, `total` and the metrics.
        cache: Folder of encoded datasets, if they are to be kept.
        start: A LoRA file to go on from; None begins with a fresh one.
    """

    def __init__(
        self,
        config: RereflConfig,
        *,
        base: ReferenceModel,
        dataset: Dataset,
        pack: FacePack,
        out: Path,
        world: World,
        progress: Progress,
        cache: Path | None,
        start: Path | None,
    ) -> None:
        self.config = config
        self.base = base
        self.dataset = dataset
        self.pack = pack
        self.out = out
        self.world = world
        self.start = start
        self.done = 0
        self.over = False
        self._cache = cache
        self._clip = config.mixture.load()
        self._trained = Trained(config, base, start)
        self._report: Progress = progress if world.first else lambda line: None
        self._started = time.perf_counter()
        self._faceless = 0
        self._vigil = Vigil()
        self._line: dict[str, Any] = {}
        self._encoded: EncodedDataset
        self._batches: Iterator[tuple[Group, Tensor]]
        self._parameters: list[nn.Parameter]
        self._optimizer: torch.optim.AdamW
        self._objective: Objective
        self._state: State
        self._grid: SampleGrid

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What weights depend on, besides the code; plain JSON values."""
        return {
            **({"start": sha256(self.start)} if self.start else {}),
            "config": to_mapping(self.config),
            "data": self.dataset.digest,
            "base": {"name": self.base.name, "digest": self.base.digest},
            "face_pack": {"name": self.pack.name, "digest": self.pack.digest},
            **({"mixture": {"digest": self._clip.digest}} if self._clip else {}),
        }

    @property
    def elapsed(self) -> float:
        """Seconds that the run has taken, without the time between an end and a resumption."""
        return time.perf_counter() - self._started

    def finished(self) -> dict[str, Any] | None:
        """The result of this very run if it lies in `out` already."""
        try:
            manifest = read_manifest(self.out, verify=True)
        except (NotFoundError, DiffersError):
            return None
        mine = {**self.settings, "code": code_version()}
        if any(manifest.get(name) != value for name, value in mine.items()):
            return None
        last = (self.out / METRICS).read_text().splitlines()[-1]
        return {**manifest["training"], "seconds": self.elapsed, "last": json.loads(last)}

    def begin(self, checkpoint: Checkpoint | None) -> None:
        """Encode the data, attach what is trained, and take up a checkpoint where there is one.

        Prompts are not read again, so the text encoders leave the device.
        """
        config, base, world = self.config, self.base, self.world
        base.without_lora()
        self._encoded = encode_once(
            self.dataset,
            base,
            self.pack,
            config.goal,
            self._report,
            judge=bool(config.judge_every),
            cache=self._cache,
            world=world,
        )
        for encoder in base.large[1:]:
            encoder.to("cpu")
        precision = choose_precision(config.precision, world.device)
        self._trained.attach(precision)
        if config.recompute:
            recompute_blocks(base.transformer)
            recompute_blocks(base.decoder)
        costs = costs_of(base, self._encoded.groups, recompute=config.recompute)
        world.shard(base.transformer)
        named = {n: p for n, p in base.transformer.named_parameters() if p.requires_grad}
        self._parameters = list(named.values())
        self._optimizer = torch.optim.AdamW(
            self._parameters, lr=config.lr, betas=config.betas, weight_decay=config.weight_decay
        )
        mixture = None
        if self._clip:
            clip = self._clip.to(world.device)
            mixture = Mixture(config.mixture, clip, self.dataset, self._encoded.groups)
        self._objective = Objective(config, base, self.pack, world, precision, costs, mixture)
        self._state = State(named, self._optimizer, self._objective.generator, config.ema)
        self._prepare_folder("" if checkpoint is None else checkpoint.text(METRICS))
        if checkpoint:
            self._resume(checkpoint)
        self._batches = batches(self._encoded.groups, config.batch, config.seed, done=self.done)
        self._grid = SampleGrid(
            config,
            base=base,
            dataset=self.dataset,
            groups=self._encoded.groups,
            pack=self.pack,
            precision=precision,
        )
        if not self.done:
            self._paint()

    def step(self, interruption: Interruption) -> bool:
        """Do one step.

        Args:
            interruption: Whether this process was asked to end.

        Returns:
            Whether any process was asked to.

        Raises:
            UmoError: The loss or its gradient is not finite, or too many steps in a row saw no
                face; nothing has changed then.
        """
        config, world = self.config, self.world
        number = self.done + 1
        logs = number % config.log_every == 0 or number == config.steps
        looks = bool(config.judge_every) and number % config.judge_every == 0
        drifts = logs and config.weights == "lora"
        clock = self._objective.meter.clock
        with clock("data"):
            group, rows = next(self._batches)
        outcome = self._objective.backward(group, rows, look=looks, drift=drifts)
        with clock("optimizer"):
            world.add_gradients(self._parameters)
            norm = nn.utils.clip_grad_norm_(self._parameters, config.clip)
            size = float(norm.full_tensor() if isinstance(norm, DTensor) else norm)
        late = self.elapsed > (config.max_seconds or math.inf)
        loss, reward, judge, faces, requests, lateness = world.add(
            [*astuple(outcome), interruption.asked, late]
        )
        if not math.isfinite(loss) or not math.isfinite(size):
            raise UmoError(
                f"step {number}: the loss {loss} or its gradient's norm {size} is not finite",
                hint=f"lower lr ({config.lr}); what was saved before stays in {self.out}",
            )
        self._faceless = 0 if faces or config.reward == "none" else self._faceless + 1
        if self._faceless == FACELESS:
            raise UmoError(
                f"no face was found in the pictures of {FACELESS} steps in a row, up to step "
                f"{number}",
                hint="begin with a base that paints faces, or lower lr and reward_weight; what was "
                f"saved before stays in {self.out}",
            )
        rate = config.lr * min(1.0, number / max(1, config.warmup))
        for parameters in self._optimizer.param_groups:
            parameters["lr"] = rate
        with clock("optimizer"):
            self._optimizer.step()
            self._optimizer.zero_grad()
            self.done = number
            self._state.average(self.done)
        self._objective.meter.add(loss=loss, grad_norm=size, lr=rate)
        if looks:
            self._look(reward, judge)
        self.over = self.over or self.done == config.steps or lateness > 0
        if self.done % config.log_every == 0 or self.over:
            self._log()
        return requests > 0

    def save(self, checkpoints: Checkpoints) -> None:
        """Write a checkpoint, the weights as they are now, and what they paint."""
        facts = {
            "step": self.done,
            "over": self.over,
            "elapsed": self.elapsed,
            "settings": self.settings,
            "code": code_version(),
            "faceless": self._faceless,
            "vigil": self._vigil.state(),
            "line": self._line,
            "meter": self._objective.meter.state(self.world),
        }
        metrics = (self.out / METRICS).read_text() if self.world.first else ""
        checkpoints.save(self.done, self._state.tensors(), facts, {METRICS: metrics})
        self._export()
        self._paint()

    def close(self) -> dict[str, Any]:
        """Write the manifest; what `umo.training.rerefl.train` returns."""
        self._export()
        result: dict[str, Any] = {}
        if self.world.first:
            result = {
                "digest": sha256(self.out / self._trained.file),
                "steps": self.done,
                "samples": sum(len(group) for group in self._encoded.groups),
                "left_out": self._encoded.left_out,
            }
            facts = {
                "kind": self._trained.kind,
                **self.settings,
                "seed": self.config.seed,
                "code": code_version(),
                "weights": result["digest"],
                "training": result,
                "machine": machine(self.world.device),
                "precision": asdict(self._objective.precision),
                "peak_operations": asdict(rate_of(self.world.device)),
                "processes": self.world.size,
            }
            files = {name: sha256(self.out / name) for name in (self._trained.file, METRICS)}
            write_text(self.out / MANIFEST, manifest_text(files, facts))
        self.world.wait()
        return {**result, "seconds": self.elapsed, "last": self._line}

    def _prepare_folder(self, metrics: str) -> None:
        if self.world.first:
            with write_errors(self.out):
                self.out.mkdir(parents=True, exist_ok=True)
                remove_staged(self.out)
                (self.out / MANIFEST).unlink(missing_ok=True)
                if not metrics:
                    shutil.rmtree(self.out / SAMPLES, ignore_errors=True)
            write_text(self.out / METRICS, metrics)
        self.world.wait()

    def _resume(self, checkpoint: Checkpoint) -> None:
        facts = checkpoint.facts
        self._state.restore(checkpoint)
        self.done, self.over, self._line = facts["step"], facts["over"], facts["line"]
        self._started = time.perf_counter() - facts["elapsed"]
        self._faceless = facts["faceless"]
        self._vigil = Vigil(**facts["vigil"])
        self._objective.meter.restore(facts["meter"], self.world)
        self._report({"phase": "train", "done": self.done, "total": self.config.steps})

    def _look(self, reward: float, judge: float) -> None:
        """Take in what the judge saw; it may end the run, or raise an alarm."""
        self._vigil.look(reward, judge)
        patience = self.config.patience or ALARM
        if self._vigil.alarm(patience) and self._vigil.still == patience:
            log.warning(
                "step %d: the reward rises (%.3f to %.3f) and the judge does not (%.3f, best %.3f)",
                self.done,
                self._vigil.reward_then,
                self._vigil.reward,
                self._vigil.judge,
                self._vigil.best,
            )
        self.over = self.config.patience is not None and self._vigil.over(patience)

    def _log(self) -> None:
        measures = self._objective.meter.take(self.world)
        memory = peak_memory(self.world.device)
        self._line = {
            "step": self.done,
            "elapsed": self.elapsed,
            **measures,
            "peak_memory_mb": memory / 2**20,
        }
        if "operations_per_second" in measures:
            most = self.world.size * rate_of(self.world.device).operations_per_second
            self._line["utilisation"] = measures["operations_per_second"] / most
        if self.config.judge_every:
            alarm = self._vigil.alarm(self.config.patience or ALARM)
            self._line |= {"judge_still": self._vigil.still, "judge_alarm": int(alarm)}
        if self.world.first:
            append_line(self.out / METRICS, self._line)
            total = self.config.steps
            self._report({"phase": "train", "done": self.done, "total": total, **self._line})

    def _paint(self) -> None:
        """Paint the fixed samples with the weights as they would be written now."""
        name = f"{SAMPLES}/step-{self.done:08d}.jpg"
        if not len(self._grid) or not (self.world.first or self.world.lock_step):
            return
        with self._state.averaged():
            self._grid.paint(self.out / name, f"step {self.done}", write=self.world.first)
        total = self.config.steps
        self._report({"phase": "train", "done": self.done, "total": total, "picture": name})

    def _export(self) -> None:
        """Write the trained weights, averaged if the run averages them."""
        with self._state.averaged(), self.world.whole(self.base.transformer):
            if self.world.first:
                self._trained.save(self.out)

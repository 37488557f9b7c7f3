"""The engine: one verified version of a model, painting for many callers at once."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from umo import signing
from umo.bases import load_base
from umo.bases.int8 import to_int8
from umo.bases.layout import picture_size
from umo.bases.protocol import Conditioning, ReferenceModel, device_of
from umo.data.schema import Image
from umo.errors import DiffersError, UsageError
from umo.faces.packs import FacePack, load_pack
from umo.files import read_manifest
from umo.pickles import danger
from umo.pixels import to_bytes, to_float
from umo.training.memory import FULL, Precision, choose_precision
from umo_serving.batching import Denoiser, Job, start
from umo_serving.folder import Weights
from umo_serving.identity import match
from umo_serving.pictures import decode, encode, pixels
from umo_serving.request import Progress, Reply, Request
from umo_serving.steady import steady
from umo_serving.trace import span

LORA = "lora.safetensors"
ROWS = 8
"""Most pictures denoised together."""


class Engine:
    """A base with one version's LoRA.

    Args:
        model: The base, with the LoRA attached.
        pack: Finds and compares faces.
        version: Version of the model.
        digest: sha256 of the LoRA.
        precision: What velocities are computed in.
    """

    def __init__(
        self,
        model: ReferenceModel,
        pack: FacePack,
        *,
        version: str,
        digest: str,
        precision: Precision = FULL,
    ) -> None:
        self.version = version
        self.digest = digest
        self._model = model
        self._pack = pack
        self._layout = model.layout
        self._denoiser = Denoiser(model, rows=ROWS, precision=precision)

    @classmethod
    def load(
        cls,
        folder: Path,
        base: str = "embedded",
        pack: str = "open",
        *,
        version: str = "",
        weights: Weights = "auto",
    ) -> "Engine":
        """Verify a tuned model and load it; where `UMO_VERIFY_KEY` is set, its signature too.

        It is put on a GPU where there is one.

        Args:
            folder: `lora.safetensors` and its manifest.
            base: `embedded`, or the folder of the base that it was tuned on.
            pack: Face pack, see `umo.faces.packs.load_pack`.
            version: What replies call it.
            weights: How the base's weights are kept; in `int8` the LoRA is merged into them.

        Raises:
            NotFoundError: The folder has no manifest, or the base or pack does not exist.
            DiffersError: A file is not the one that the manifest names, or the base is another.
            UsageError: There are no weights as safetensors, or there is a pickle.
            DeniedError: Signatures are asked for, and none is there that counts.
        """
        manifest = read_manifest(folder, verify=True)
        refuse_pickles(folder)
        if keys := os.environ.get(signing.VERIFY_KEY):
            signing.verify(folder, keys)
        if LORA not in manifest["files"]:
            raise UsageError(f"no {LORA} among {sorted(manifest['files'])}")
        if base != "embedded":
            refuse_pickles(Path(base))
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        precision = choose_precision("auto" if weights == "int8" else weights, device)
        model = load_base(base, dtype=precision.dtype)
        wanted = manifest.get("base", {}).get("digest")
        if wanted != model.digest:
            raise DiffersError(
                f"the model was tuned on base {wanted}, {base} has digest {model.digest}",
                hint="name the base it was tuned on",
            )
        model.load_lora(folder / LORA)
        if weights == "int8":
            model.merge_lora()
            for network in model.large:
                to_int8(network)
        model.to(device)
        if device.type == "cpu":
            steady(model.transformer)
        pack_there = load_pack(pack).to(device)
        return cls(
            model,
            pack_there,
            version=version,
            digest=manifest["files"][LORA],
            precision=precision,
        )

    def generate(
        self,
        request: Request,
        *,
        on_step: Callable[[Progress], None] | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Reply:
        """Paint. Many threads may call this; their pictures are denoised together.

        A picture depends on its prompt, references, size, steps, guidance and seed only.

        Args:
            request: What to paint.
            on_step: Called after each denoising step.
            cancelled: Asked before each step; once it says yes, no further step is computed.

        Raises:
            UsageError: The request is outside its limits, or a reference is damaged.
            CancelledError: `cancelled` said yes.
        """
        request.check()
        with span("umo.references", references=len(request.references)):
            references = self._frame(request.references)
        size = picture_size(self._layout, len(references), request.width, request.height)
        with span("umo.encode"):
            conditioning = self._encode(request.prompt, references)
        job = start(
            self._model,
            conditioning,
            size=size,
            steps=request.steps,
            guidance=request.guidance,
            seeds=request.seeds,
            on_step=self._reporter(on_step),
            cancelled=cancelled,
        )
        with span("umo.denoise", steps=request.steps, images=request.images):
            self._denoiser.submit(job)
            latents = job.done.result()
        with span("umo.decode"):
            pictures = self._decode(latents)
            pngs = [encode(picture) for picture in pictures]
        matches: list[dict[str, Any]] = []
        if request.matches:
            with span("umo.match"):
                matches = match(self._pack, references, pictures)
        return Reply(
            pngs=pngs,
            seeds=request.seeds,
            version=self.version,
            digest=self.digest,
            matches=matches,
        )

    def close(self) -> None:
        """Stop after the current step; calls that are not done end with a `CancelledError`."""
        self._denoiser.close()

    def _frame(self, encoded: Sequence[bytes]) -> list[Image]:
        return [
            pixels(self._layout.frame(decode(one, name=f"reference {number}"), len(encoded)))
            for number, one in enumerate(encoded, start=1)
        ]

    def _encode(self, prompt: str, references: Sequence[Image]) -> Conditioning:
        device = device_of(self._model.transformer)
        tensors = [
            to_float(torch.from_numpy(np.array(reference)).to(device)) for reference in references
        ]
        return self._model.encode([prompt], [tensors])

    @torch.no_grad()
    def _decode(self, latents: Sequence[Tensor]) -> list[Image]:
        return [to_bytes(self._model.decode(one[None])[0]).cpu().numpy() for one in latents]

    def _reporter(self, on_step: Callable[[Progress], None] | None) -> Callable[[Job], None]:
        if on_step is None:
            return lambda job: None

        def preview(latents: list[Tensor]) -> list[bytes]:
            return [encode(picture) for picture in self._decode(latents)]

        def report(job: Job) -> None:
            latents = [row.clean for row in job.rows]
            on_step(Progress(step=job.step, steps=job.steps, preview=lambda: preview(latents)))

        return report


def refuse_pickles(folder: Path) -> None:
    """Refuse a folder with files that may run code when they are read.

    Raises:
        UsageError: It has one; the line names it.
    """
    for file in sorted(file for file in folder.rglob("*") if file.is_file()):
        if danger(file):
            raise UsageError(f"{file.name} is a pickle or may hold one", hint="safetensors only")

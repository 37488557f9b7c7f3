"""ReReFL as public trainers write it: one sample at a time, nothing cached, nothing batched.

Each sample is a pass of its own whose gradient is added up (UNO and OmniGen2 train with a batch of
one a GPU). Prompt, references and target are encoded in every pass; faces are found picture by
picture and embedded face by face; the faces of the references are found and embedded again. The
face network is computed by torch's own operators, which keep their inputs for the backward pass.
The mathematics are those of `umo.training`: the same random numbers give the same gradient.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from umo.bases.protocol import ReferenceModel
from umo.data.schema import Image, Sample
from umo.faces.onnx_operators import OPERATORS, Attributes
from umo.faces.packs import FacePack, detect_float, embed_faces
from umo.rewards.matching import matching_reward
from umo.training.config import RereflConfig
from umo.training.draws import Draws


@contextmanager
def torch_operators() -> Iterator[None]:
    """Inside the block, face networks convolve and rectify by torch's own operators."""

    def convolution(
        attributes: Attributes, x: Tensor, weight: Tensor, bias: Tensor | None = None
    ) -> Tensor:
        top, left, bottom, right = attributes.get("pads", (0, 0, 0, 0))
        return F.conv2d(
            F.pad(x, (left, right, top, bottom)),
            weight,
            bias,
            stride=tuple(attributes.get("strides", (1, 1))),
            dilation=tuple(attributes.get("dilations", (1, 1))),
            groups=attributes.get("group", 1),
        )

    def prelu(attributes: Attributes, x: Tensor, slope: Tensor) -> Tensor:
        return F.prelu(x, slope.flatten())

    with patch.dict(OPERATORS, {"Conv": convolution, "PRelu": prelu}):
        yield


@torch_operators()
def plain_gradient(
    config: RereflConfig,
    base: ReferenceModel,
    pack: FacePack,
    samples: list[Sample],
    draws: Draws,
) -> float:
    """Add the gradient of a batch to the LoRA; the loss."""
    assert draws.stops is not None
    assert draws.start is not None
    assert draws.levels is not None
    assert draws.noise is not None
    total = 0.0
    for index, sample in enumerate(samples):
        target = picture(sample.target)
        references = [picture(reference) for reference in sample.references]
        conditioning = base.encode([sample.prompt], [[r[0] for r in references]])
        height, width = target.shape[2:]
        sigmas = base.sigmas(config.rollout_steps, height, width)
        x = draws.start[index : index + 1]
        stop = int(draws.stops[index, 0])
        with torch.no_grad():
            for step in range(stop):
                v = base.velocity(
                    x, sigmas[step : step + 1], conditioning, guidance=config.guidance
                )
                x = x + (sigmas[step + 1] - sigmas[step]) * v
        v = base.velocity(x, sigmas[stop : stop + 1], conditioning, guidance=config.guidance)
        painted = base.decode(x - sigmas[stop] * v)
        goals = torch.cat([embed_one(r, pack, largest=True) for r in references])
        reward = matching_reward(goals, embed_one(painted, pack), config.matching).reward
        clean = base.encode_images(target)
        sigma = base.training_sigmas(height, width)[draws.levels[index : index + 1]]
        noise = draws.noise[index : index + 1]
        v = base.velocity(
            (1 - sigma) * clean + sigma * noise,
            sigma,
            conditioning,
            guidance=config.anchor_guidance,
        )
        matching = nn.functional.mse_loss(v, noise - clean)
        loss = (config.anchor * matching - config.reward_weight * reward) / len(samples)
        loss.backward()
        total += loss.item()
    return total


def embed_one(image: Tensor, pack: FacePack, *, largest: bool = False) -> Tensor:
    """Embeddings of the faces of a picture `[1,3,H,W]`, one after the other."""
    with torch.no_grad():
        (faces,) = detect_float(pack.detector, image)
    faces = faces.largest() if largest else faces
    rows = [image.new_zeros(0, pack.reward.dim)]
    for face in range(len(faces)):
        one = type(faces)(
            boxes=faces.boxes[face : face + 1],
            landmarks=faces.landmarks[face : face + 1],
            scores=faces.scores[face : face + 1],
        )
        rows += embed_faces(image, [one], pack.reward)
    return torch.cat(rows)


def picture(image: Image) -> Tensor:
    """Float `[1,3,H,W]` in -1..1."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 127.5 - 1

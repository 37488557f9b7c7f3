"""The parametric head: a mesh whose shape is linear in named parameters."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

Array = NDArray[np.float32]

FOLDER = Path(__file__).parents[1] / "assets" / "people"


@dataclass(frozen=True, kw_only=True)
class Head:
    """Head, neck and shoulders; x to the person's left, y backwards, z up, in body units."""

    template: Array
    """Neutral vertices `[V,3]`."""
    shapes: Array
    """Displacements `[K,V,3]`, one a parameter."""
    names: tuple[str, ...]
    """The parameters, in the order of `shapes`."""
    faces: NDArray[np.int32]
    """Triangles `[F,3]`."""
    part: NDArray[np.uint8]
    """Which of `parts` each triangle belongs to, `[F]`."""
    parts: tuple[str, ...]
    """Names of the parts."""
    lips: Array
    """How much of each vertex is lip, `[V]`, 0 to 1."""

    def features(self) -> tuple[str, ...]:
        """Local features that run from -1 to 1, such as `nose-hump-incr`."""
        return tuple(name[:-2] for name in self.names if name.endswith("+1"))

    def vertices(self, parameters: Mapping[str, float]) -> Array:
        """Vertices `[V,3]` of the parameters."""
        return self.template + self.displacement(parameters)

    def displacement(self, parameters: Mapping[str, float]) -> Array:
        """How the parameters move the vertices `[V,3]`; a feature's sign chooses its direction."""
        weights = np.zeros(len(self.names), np.float32)
        for name, value in parameters.items():
            key = name if name in self.names else f"{name}{'+1' if value >= 0 else '-1'}"
            weights[self.names.index(key)] = abs(value)
        used = np.flatnonzero(weights)
        span = slice(used.min(initial=0), used.max(initial=0) + 1)
        moved: Array = weights[span] @ self.shapes[span].reshape(span.stop - span.start, -1)
        return moved.reshape(self.template.shape)

    def vertices_of(self, *parts: str) -> NDArray[np.int64]:
        """Indices of the vertices of some parts."""
        chosen = np.isin(self.part, [self.parts.index(part) for part in parts])
        return np.unique(self.faces[chosen]).astype(np.int64)


@cache
def load_head() -> Head:
    """The shipped head."""
    with safe_open(FOLDER / "head.safetensors", "np") as file:
        facts = file.metadata()
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    return Head(
        template=tensors["template"],
        shapes=tensors["shapes"].astype(np.float32),
        names=tuple(json.loads(facts["shapes"])),
        faces=tensors["faces"],
        part=tensors["part"],
        parts=tuple(json.loads(facts["parts"])),
        lips=tensors["lips"],
    )

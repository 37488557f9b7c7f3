"""Filters between what makes samples and the shards."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch

from umo.data.schema import Sample
from umo.faces.detect import FaceDetector


def with_faces(
    samples: Iterable[Sample], detector: FaceDetector, rejected: Callable[[str], None]
) -> Iterator[Sample]:
    """Samples whose every reference has one face and whose target has one for each person.

    Args:
        samples: Any samples; the references of one sample have one size.
        detector: Finds the faces.
        rejected: Called with the key of each sample that does not pass.
    """
    for sample in samples:
        references = torch.from_numpy(np.stack(sample.references))
        alone = all(len(faces) == 1 for faces in detector.detect(references))
        (together,) = detector.detect(torch.from_numpy(sample.target[None]))
        if alone and len(together) == len(sample.references):
            yield sample
        else:
            rejected(sample.key)

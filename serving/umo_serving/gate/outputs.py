"""A reply and the steps before it, as tensors and back."""

import json
from dataclasses import dataclass

from umo_serving.client.wire import Datatype, Outputs, Tensor, unreadable
from umo_serving.request import Reply

OUTPUTS: dict[str, Datatype] = {
    "PICTURES": "BYTES",
    "SEED": "INT64",
    "MODEL_VERSION": "BYTES",
    "MODEL_DIGEST": "BYTES",
    "MATCHES": "BYTES",
}
"""What a reply consists of."""


@dataclass(frozen=True)
class Step:
    """How far a streamed call is."""

    step: int
    """Denoising steps done."""
    steps: int
    """Denoising steps in all."""
    previews: list[bytes]
    """What each picture looks like so far, as PNG; most steps have none."""

    @classmethod
    def of(cls, outputs: Outputs) -> "Step":
        """Read a version's answer."""
        return cls(outputs["STEP"][0], outputs["STEPS"][0], outputs["PREVIEWS"])

    def tensors(self) -> list[Tensor]:
        """The outputs of the endpoint that streams."""
        return [
            Tensor("STEP", "INT32", [self.step]),
            Tensor("STEPS", "INT32", [self.steps]),
            Tensor("PREVIEWS", "BYTES", self.previews),
        ]


def reply(outputs: Outputs) -> Reply:
    """Read a version's last answer.

    Raises:
        UmoError: It is not what a version answers.
    """
    try:
        return Reply(
            pngs=outputs["PICTURES"],
            seeds=outputs["SEED"],
            version=outputs["MODEL_VERSION"][0].decode(),
            digest=outputs["MODEL_DIGEST"][0].decode(),
            matches=json.loads(outputs["MATCHES"][0]),
        )
    except (LookupError, ValueError) as error:
        raise unreadable(error) from error


def tensors(reply: Reply) -> list[Tensor]:
    """The outputs of a reply."""
    return [
        Tensor("PICTURES", "BYTES", reply.pngs),
        Tensor("SEED", "INT64", reply.seeds),
        Tensor("MODEL_VERSION", "BYTES", [reply.version.encode()]),
        Tensor("MODEL_DIGEST", "BYTES", [reply.digest.encode()]),
        Tensor("MATCHES", "BYTES", [json.dumps(reply.matches).encode()]),
    ]

"""A policy: what the gates ask of a candidate, declared in YAML."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from umo import config
from umo.errors import UsageError

DEFAULT = Path(__file__).parent / "policy.yaml"

GATES: Mapping[str, str] = {
    "items": "enough held-out items",
    "unseen_people": "judged on people it was not tuned on",
    "id_sim": "gain in ID-Sim over base, by the judge",
    "id_conf": "gain in ID-Conf over base, by the judge",
    "faces": "no loss in faces found",
    "prompt_following": "prompt following not worse than base",
    "picture_quality": "picture quality not worse than base",
    "champion": "ID-Sim not worse than the champion, by the judge",
    "reward_hacking": "the judge confirms what the reward gained",
    "base_licence": "licence of the base",
    "face_pack_licence": "licence of the face pack",
    "data_licence": "licence of the training data",
    "consent": "consent recorded for every identity of the training data",
    "safetensors": "safetensors only, nothing that can run code",
}
"""Every gate and what it checks, in the order they are shown."""


@dataclass(frozen=True, kw_only=True)
class Margin:
    """How much worse something may be."""

    margin: float
    """Points; the interval must lie above its negative."""
    required: bool
    """Whether it must be measured."""

    def __post_init__(self) -> None:
        if self.margin < 0:
            raise UsageError(f"margin is {self.margin}", hint="it must be at least 0")


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What a candidate must show; `policy.yaml` beside this module is the default."""

    items: int
    """Fewest held-out items."""
    id_sim_gain: float
    """Least gain over base in ID-Sim by the judge, points; its interval must be above 0."""
    id_conf_gain: float
    """The same in ID-Conf."""
    faces_lost: float
    """Largest share of the people that base paints and the candidate does not."""
    prompt_following: Margin
    """Against base."""
    picture_quality: Margin
    """Against base."""
    champion: Margin
    """ID-Sim by the judge, against the champion."""
    judge_follows: float
    """Least share of the reward's gain that the judge must confirm."""
    commercial: bool
    """Whether licences must allow commercial use."""
    allowed_licences: tuple[str, ...]
    """Licences of base and data that do."""
    no_consent: tuple[str, ...]
    """What is recorded where nobody consented."""
    waivable: tuple[str, ...]
    """Gates that a recorded waiver may pass."""

    def __post_init__(self) -> None:
        for name, value, high in (
            ("faces_lost", self.faces_lost, 1.0),
            ("judge_follows", self.judge_follows, 1.0),
        ):
            if not 0 <= value <= high:
                raise UsageError(f"{name} is {value}", hint="it is a share, 0 to 1")
        unknown = sorted(set(self.waivable) - set(GATES))
        if unknown:
            raise UsageError(
                f"waivable names no gate: {unknown[0]!r}", hint=f"gates: {', '.join(GATES)}"
            )


def load_policy(path: Path | None = None) -> Policy:
    """The default policy, with what the YAML file at `path` changes of it.

    Raises:
        NotFoundError: There is no such file.
        UsageError: It is not YAML, or has an unknown key or a wrong value.
    """
    values = config.read(DEFAULT)
    for key, value in (config.read(path) if path else {}).items():
        kept = values.get(key)
        both = isinstance(kept, dict) and isinstance(value, dict)
        values[key] = kept | value if both else value
    return config.from_mapping(Policy, values, where=str(path or DEFAULT))


def check_waivable(policy: Policy, gate: str) -> None:
    """Refuse a waiver that the policy does not know.

    Raises:
        UsageError: No such gate, or one that cannot be waived.
    """
    if gate not in GATES:
        raise UsageError(f"no gate {gate!r}", hint=f"gates: {', '.join(GATES)}")
    if gate not in policy.waivable:
        allowed = ", ".join(policy.waivable) or "none"
        raise UsageError(
            f"the gate {gate!r} cannot be waived", hint=f"the policy lets waive: {allowed}"
        )

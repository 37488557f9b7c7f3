"""What makes a run that run: two with the same settings are one, and others are refused."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from umo.errors import DiffersError
from umo.lineage import code_version
from umo.training.checkpoint import Checkpoint

log = logging.getLogger(__name__)


def refuse_other(checkpoint: Checkpoint, settings: Mapping[str, Any], out: Path) -> None:
    """Refuse a checkpoint of another run; warn where the code has changed.

    Raises:
        DiffersError: It is of other settings, data, base or face pack; names both.
    """
    facts = checkpoint.facts
    then, now = _flat(facts["settings"]), _flat(settings)
    for name in sorted(then.keys() | now.keys()):
        if then.get(name) != now.get(name):
            raise DiffersError(
                f"the run in {out} stopped after step {facts['step']} with "
                f"{name} {then.get(name)}, this one has {now.get(name)}",
                hint="go on with the same settings and data, or give another folder",
            )
    if facts["code"] != code_version():
        log.warning(
            "the code has changed since step %d: weights will differ from those of one run",
            facts["step"],
        )


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by their dotted names, without the prefix `config`."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        dotted = f"{prefix}{name}".removeprefix("config.")
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[dotted] = value
    return found

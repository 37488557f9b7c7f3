"""The server's log: a JSON line for each event; pictures and prompts are never in it."""

import json
import sys
import time
from typing import Any


def log(event: str, **facts: Any) -> None:
    """Write one line."""
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + "Z"
    line = json.dumps({"time": moment, "event": event, **facts})
    print(line, file=sys.stderr, flush=True)

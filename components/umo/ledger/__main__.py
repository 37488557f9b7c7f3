"""Bring the ledger that UMO_LEDGER names up to date: `python -m umo.ledger`.

The account has to own the tables; those who only write the ledger cannot migrate it.
"""

import os
import sys

from umo.errors import UmoError, UsageError
from umo.ledger import Ledger, schema
from umo.store import LEDGER


def main() -> int:
    """Migrate, check the chain, and say so in one line; returns the exit code."""
    try:
        url = os.environ.get(LEDGER)
        if not url:
            raise UsageError(f"{LEDGER} is not set", hint="name the ledger's database")
        faults = Ledger(url).verify()
    except UmoError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)
    print(f"the ledger has schema {schema.VERSION}; {len(faults)} faults")
    for fault in faults:
        print(fault)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What a server answers with, against the champion of the ledger."""

from umo.errors import UmoError
from umo.ledger import Ledger
from umo.promotion import Drift
from umo.promotion.deployment import deployed
from umo_serving import probe
from umo_serving.client.target import MODEL
from umo_serving.folder import Folder


def drift(folder: Folder, ledger: Ledger, name: str) -> Drift | None:
    """Ask the server of a folder for a picture and compare who painted it.

    Args:
        folder: Of the server.
        ledger: The truth.
        name: Model name.

    Returns:
        How it differs; None if it does not, or if there is no champion to serve.

    Raises:
        NotFoundError: No server was ever set up there.
    """
    settings = folder.settings()
    reign = ledger.reign(name)
    if reign.champion is None or reign.decided is None:
        return None
    try:
        sign = probe.ask(settings, MODEL)
    except UmoError as error:
        found = f"no answer: {error.message}"
    else:
        recorded = deployed(ledger, name, reign.decided.seq) is not None
        if sign.digest == reign.champion.weights and recorded:
            return None
        found = f"version {sign.version}, weights {sign.digest}"
        found += "" if recorded else ", not recorded as deployed"
    return Drift(
        what=f"server in {folder.path}",
        ledger=f"candidate {reign.champion.version}, weights {reign.champion.weights}",
        found=found,
        repair="deploy the champion",
    )

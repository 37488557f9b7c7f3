"""A deployer that follows wakes up for a decision, however long it would have waited."""

import threading
from pathlib import Path
from queue import Queue

from services.deployments import NAME, champion
from umo.ledger import Ledger
from umo.registry import Registry
from umo.store import Store
from umo_serving.deployer import Deployer
from umo_serving.folder import Folder, Settings

HOUR = 3600.0


def test_a_decision_is_followed_at_once(tmp_path: Path) -> None:
    registry = Registry(Store.local(tmp_path))
    ledger = Ledger(registry.store.ledger)
    folder = Folder(tmp_path / "serving")
    folder.prepare(Settings())
    said: Queue[str] = Queue()
    deployer = Deployer(folder, registry, ledger, NAME, say=said.put)
    follower = threading.Thread(target=deployer.follow, args=(HOUR,))
    follower.start()
    try:
        assert said.get(timeout=60) == f"{NAME} has no champion yet"
        champion(registry, ledger, 1.0, tmp_path)
        assert said.get(timeout=60) == f"staging {NAME} 1"
    finally:
        deployer.stop()
        follower.join(60)
    assert not follower.is_alive()

"""The deployer: it follows the champion and makes a server answer with it.

What to serve is what the ledger says was decided and MLflow's alias `champion` agrees with. A
deployment is a row of steps, each of which does nothing when it was done before, so that whoever
comes after a killed deployer simply takes them all again:

    stage     download, verify, copy beside the others, rename
    load      into Triton; the old version goes on answering
    probe     let it paint two people, and see that it is they
    try out   a growing share of the calls, while it is no worse than the champion
    crown     the routes name it; the old version stays loaded
    confirm   the server answers with it, else back to the old version
    record    `deployed` in the ledger
    retire    unload and remove what answers no more
"""

from umo_serving.deployer.deployer import Deployer
from umo_serving.deployer.drift import drift
from umo_serving.deployer.policy import Policy

__all__ = ["Deployer", "Policy", "drift"]

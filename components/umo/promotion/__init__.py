"""Promotion: from a candidate to the champion and back, over MLflow and the ledger."""

from umo.promotion.change import promote, rollback
from umo.promotion.decide import approve, reject, waive
from umo.promotion.reconcile import Drift, reconcile
from umo.promotion.submit import GateError, submit
from umo.promotion.verify import verify

__all__ = [
    "Drift",
    "GateError",
    "approve",
    "promote",
    "reconcile",
    "reject",
    "rollback",
    "submit",
    "verify",
    "waive",
]

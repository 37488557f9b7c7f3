"""The data pipeline: shares of a harvest or of a generation at the same time -> one dataset.

Nothing is cached: what lies in the folders of photos and videos may be new, and each task finds
what was done. There is no task at the end that says how the run ended, since Kubeflow Pipelines
cannot run a `ParallelFor` in an `ExitHandler`: https://github.com/kubeflow/pipelines/issues/12390
"""

from typing import Any

from kfp import dsl

from umo_pipelines import tasks
from umo_pipelines.placement import HEAVY, VOLUME, place, retried


def build() -> Any:
    """The pipeline."""

    @dsl.pipeline(name="umo-data", description="Make a dataset in shares")
    def data(out: str, order: str, shares: list[str], volume: str = VOLUME) -> None:
        """`order` is JSON text, `shares` are `0/2`, `1/2` and so on."""
        with dsl.ParallelFor(shares, name="shares") as share:
            done = tasks.work(out=out, order=order, share=share)
            retried(place(done, HEAVY, volume)).set_caching_options(False)
        made = tasks.collect(out=out, order=order, parts=dsl.Collected(done.output))
        retried(place(made, HEAVY, volume)).set_caching_options(False)

    return data

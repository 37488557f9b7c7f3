"""Steps as kfp components: inputs, outputs and image, nothing else.

All tasks of a run share one folder (`out`): a directory here, a volume on a cluster. Settings
travel as JSON text, since kfp turns the integers of a mapping into floats. kfp's cache ignores
installed code and the content of folders, so `code` (the code version), `base_digest` and the
digests of the steps before are parameters; the steps themselves look for finished work.
"""

from kfp import dsl

IMAGE = "umo-platform/components:0.1.0-cpu"


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def synthesize(out: str, split: str, config: str, shard: int, shards: int, code: str) -> str:
    """Render the people of a split, or one of several parts of it; the dataset's digest."""
    from umo.steps import entry

    return entry.synthesize(out, split, config, shard, shards)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def validate(
    out: str, split: str, config: str, parts: str, code: str, dataset: dsl.Output[dsl.Dataset]
) -> str:
    """Join the parts of a split, whose digests are `parts`; verify every byte; its digest."""
    from pathlib import Path

    from umo.steps import entry
    from umo.steps.layout import Layout
    from umo_pipelines.artifacts import check_dataset, describe

    first, *others = parts.split()
    digest = entry.join(out, split, config, [first, *others]) if others else first
    folder = Layout(Path(out)).data(split)
    check_dataset(folder, digest)
    describe(dataset, folder)
    return digest


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def work(out: str, order: str, share: str) -> str:
    """Do a share of the work for a dataset; what names it."""
    from umo.steps import entry

    return entry.work(out, order, share)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def collect(out: str, order: str, parts: list[str], dataset: dsl.Output[dsl.Dataset]) -> str:
    """Make the dataset of what the shares did, which are `parts`; verify every byte; its digest."""
    from pathlib import Path

    from umo.steps import entry
    from umo.steps.layout import Layout
    from umo_pipelines.artifacts import check_dataset, describe

    digest = entry.collect(out, order)
    folder = Layout(Path(out)).made
    check_dataset(folder, digest)
    describe(dataset, folder)
    return digest


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def train(
    out: str,
    config: str,
    base: str,
    base_digest: str,
    pack: str,
    data: str,
    code: str,
    job: str,
    lora: dsl.Output[dsl.Model],
) -> str:
    """Tune a LoRA on the tuning split, here or as the TrainJob that `job` orders as JSON.

    The digest of its folder.
    """
    import json
    from pathlib import Path

    from umo.steps.layout import Layout
    from umo_pipelines.artifacts import describe

    if job:
        from umo_pipelines import trainjob

        digest = trainjob.train(out, config, base, pack, data, order=json.loads(job))
    else:
        from umo.steps import entry

        digest = entry.train(out, config, base, pack, data)
    describe(lora, Layout(Path(out)).train)
    return digest


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def evaluate(
    out: str,
    config: str,
    base: str,
    base_digest: str,
    pack: str,
    data: str,
    tuned: str,
    code: str,
    report: dsl.Output[dsl.HTML],
    scores: dsl.Output[dsl.Metrics],
) -> str:
    """Judge base and tuned on the held-out split; the result's digest."""
    from pathlib import Path

    from umo.steps import entry
    from umo.steps.layout import Layout
    from umo_pipelines.artifacts import show

    digest = entry.evaluate(out, config, base, pack, data, tuned)
    show(Layout(Path(out)).evaluation, report, scores)
    return digest


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def fetch(out: str, model: str, version: str, digest: str) -> str:
    """Get a version of a model from MLflow as if it was trained here; the digest of its folder."""
    from umo_pipelines import evaluated

    return evaluated.fetch(out, model, version, digest)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def record(out: str, model: str, evaluation: str) -> str:
    """Record an evaluation of a version in MLflow; the id of its run."""
    from umo_pipelines import evaluated

    return evaluated.record(out, model, evaluation)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def report(out: str) -> str:
    """Say how a run ended, whatever happened: its last event, in words."""
    from umo_pipelines.artifacts import ending

    return ending(out)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def register(out: str, model: str, tuned: str, evaluation: str, code: str) -> str:
    """Record the run and register its weights; their digest."""
    from umo.steps import entry

    return entry.register(out, model, tuned, evaluation)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def submit(out: str, model: str, version: int, policy: str, base: str) -> str:
    """Judge a candidate by the gates and hand its report in; the report's digest."""
    from umo.steps import entry

    return entry.submit(out, model, version, policy, base)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def wait(out: str, model: str, version: int, report: str, hours: float) -> str:
    """Wait until a reviewer has approved the report; the hash of the approval."""
    from umo.steps import entry

    return entry.wait(out, model, version, report, hours)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def promote(out: str, model: str, version: int) -> str:
    """Make the approved candidate the champion; the digest of its weights."""
    from umo.steps import entry

    return entry.promote(out, model, version)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def deploy(out: str, model: str, version: int, minutes: float) -> str:
    """Wait until a deployer has made a server answer with the champion; the deployment's hash."""
    from umo.steps import entry

    return entry.deploy(out, model, version, minutes)

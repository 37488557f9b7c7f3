"""Steps as kfp components: inputs, outputs and image, nothing else.

All tasks of a run share one folder (`out`): a directory here, a volume on a cluster. Settings
travel as JSON text, since kfp turns the integers of a mapping into floats. kfp's cache ignores
installed code and the content of folders, so `code` (the code version), `base_digest` and the
digests of the steps before are parameters; the steps themselves look for finished work.
"""

from kfp import dsl

IMAGE = "umo-platform/python-steps:0.1.0"


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def synthesize(out: str, split: str, config: str, code: str) -> str:
    """Render the people of a split; the dataset's digest."""
    from umo.steps import entry

    return entry.synthesize(out, split, config)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def train(
    out: str, config: str, base: str, base_digest: str, pack: str, data: str, code: str
) -> str:
    """Tune a LoRA on the tuning split; the digest of its folder."""
    from umo.steps import entry

    return entry.train(out, config, base, pack, data)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def evaluate(
    out: str, config: str, base: str, base_digest: str, pack: str, data: str, tuned: str, code: str
) -> str:
    """Judge base and tuned on the held-out split; the result's digest."""
    from umo.steps import entry

    return entry.evaluate(out, config, base, pack, data, tuned)


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

"""What helm itself says, and what values may be."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
import yaml

from services.helm_chart import CHART, ROOT, Manifest, containers, helm, pods, rendered, template


def test_lint(program: str, setup: str) -> None:
    values = CHART / "ci" / f"{setup}-values.yaml"
    command = [program, "lint", "--strict", str(CHART), "--values", str(values)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_both_helms_render_the_same(setup: str) -> None:
    values = str(CHART / "ci" / f"{setup}-values.yaml")
    one, other = (template(helm(major), "--values", values).stdout for major in (3, 4))
    assert list(yaml.safe_load_all(one)) == list(yaml.safe_load_all(other))


def test_the_schema_is_that_of_the_values() -> None:
    subprocess.run([sys.executable, str(ROOT / "helm" / "schema.py"), "--check"], check=True)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("serving.replica=2", "replica"),
        ("serving.replicas=-1", "replicas"),
        ("serving.replicas=many", "replicas"),
        ("serving.firstModel=other", "firstModel"),
        ("images.postgres.tag=latest", "tag"),
        ("images.serving.digest=sha256:12", "digest"),
        ("serving.canary=5", "canary"),
        ("autoscaling.kind=keda", "name Prometheus"),
        ("autoscaling.min=9", "let max be at least min"),
        ("gateway.enabled=true", "gateway.hosts"),
        ("monitoring.collector=collector:4318", "collector"),
        ("monitoring.collector=http://collector:4318", "networkPolicy.collectorNamespace"),
        ("secrets.mlflow=", "mlflow"),
        ("training.volume.access=Everywhere", "access"),
        ("storage.endpoint=minio:9000", "endpoint"),
        ("model=Big Model", "model"),
    ],
)
def test_a_wrong_value_is_named(program: str, given: str, said: str) -> None:
    done = template(program, "--set", given, check=False)
    assert done.returncode != 0
    assert said in done.stderr
    assert "goroutine" not in done.stderr


def test_every_value_of_a_setup_exists() -> None:
    known = yaml.safe_load((CHART / "values.yaml").read_text())
    for file in (CHART / "ci").iterdir():
        for key in yaml.safe_load(file.read_text()):
            assert key in known, f"{file.name}: {key}"


def test_secrets_are_made_by_the_script() -> None:
    """Every secret and key that a pod asks for is one that helm/secrets.sh makes."""
    command = [str(ROOT / "helm" / "secrets.sh"), "umo", "umo", "--dry-run"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    made = {
        name: set(keys.split()) for name, keys in (line.split(": ") for line in shown.splitlines())
    }
    wanted = [one for _, pod in pods(rendered("minimal")) for one in asked(pod)]
    assert wanted
    for name, key in wanted:
        assert key in made[name], f"{name}: {key}"


def asked(pod: Manifest) -> Iterator[tuple[str, str]]:
    """Secret and key of everything that a pod needs to start."""
    for container in containers(pod):
        for variable in container.get("env", []):
            reference = variable.get("valueFrom", {}).get("secretKeyRef", {"optional": True})
            if not reference.get("optional"):
                yield reference["name"], reference["key"]
    for volume in pod.get("volumes", []):
        for item in volume.get("secret", {}).get("items", []):
            yield volume["secret"]["secretName"], item["key"]

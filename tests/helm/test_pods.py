"""Every pod satisfies Pod Security "restricted", and runs what exists."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from services.helm_chart import ROOT, Manifest, containers, pods, rendered

VOLUMES = {"configMap", "emptyDir", "persistentVolumeClaim", "secret", "projected", "downwardAPI"}


def test_restricted(manifests: list[Manifest]) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted."""
    for name, pod in pods(manifests):
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod), name
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["runAsUser"] > 0, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for volume in pod.get("volumes", []):
            assert set(volume) - {"name"} <= VOLUMES, f"{name}: {volume}"
        for container in containers(pod):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            assert "privileged" not in context, name
            assert not any("hostPort" in port for port in container.get("ports", [])), name


def test_more_than_restricted(manifests: list[Manifest]) -> None:
    """Read-only roots, no token, limits, an image that is named for good."""
    for name, pod in pods(manifests):
        assert pod["automountServiceAccountToken"] is False, name
        for container in containers(pod):
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, name
            assert set(container["resources"]) == {"requests", "limits"}, name
            assert re.search(r"(:[\w.-]+|@sha256:[0-9a-f]{64})$", container["image"]), name
            assert not container["image"].endswith(":latest"), name


def test_every_mount_is_a_volume(manifests: list[Manifest]) -> None:
    claims = {one["metadata"]["name"] for one in manifests if one["kind"] == "StatefulSet"}
    for name, pod in pods(manifests):
        volumes = {volume["name"] for volume in pod.get("volumes", [])}
        if name.partition(" ")[2] in claims:
            volumes |= {"data"}
        mounted = {
            mount["name"] for container in containers(pod) for mount in container["volumeMounts"]
        }
        assert mounted == volumes, name


def test_no_account_outside_of_its_part(manifests: list[Manifest]) -> None:
    """The promoter's and the admin's passwords go to nobody but whom they are for."""
    admin = {
        "admin-password": {"Deployment umo-umo-platform-mlflow", "Job umo-umo-platform-accounts"}
    }
    for name, pod in pods(manifests):
        for container in containers(pod):
            for variable in container.get("env", []):
                key = variable.get("valueFrom", {}).get("secretKeyRef", {}).get("key")
                assert name in admin.get(key, {name}), f"{name} has {key}"


def test_nobody_migrates_mlflow_beside_its_server(manifests: list[Manifest]) -> None:
    """Two who make MLflow's empty databases at once end one another: only hooks do, before it."""
    for one in manifests:
        if one["kind"] == "Job":
            migrates = [
                c["command"][:2] == ["mlflow", "db"]
                for c in containers(one["spec"]["template"]["spec"])
            ]
            assert any(migrates) == ("migrate" in one["metadata"]["name"])
            assert any(migrates) <= ("helm.sh/hook" in one["metadata"]["annotations"])


def test_commands_exist(manifests: list[Manifest]) -> None:
    """Every `umo` command and option, and every module, is one of this version."""
    seen = set()
    for _, pod in pods(manifests):
        for container in containers(pod):
            words = [*container.get("command", []), *map(str, container.get("args", []))]
            if words[:1] == ["umo"]:
                name = [word for word in words[1:] if re.fullmatch(r"[a-z]+", word)]
                options = [word.partition("=")[0] for word in words if word.startswith("--")]
                seen.add((*name[: 1 if name[0] == "train" else 2], *sorted(options)))
            if words[:2] == ["python", "-m"]:
                assert spec(words[2]), words[2]
    assert seen
    for command in seen:
        name = [word for word in command if not word.startswith("--")]
        done = subprocess.run(
            [sys.executable, "-c", "from umo_cli.main import main; main()", *name, "--help"],
            capture_output=True,
            text=True,
            env={"COLUMNS": "200", "PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path)},
        )
        assert done.returncode == 0, done.stderr
        for option in command[len(name) :]:
            assert option in done.stdout, f"{' '.join(name)} has no {option}"


def spec(module: str) -> bool:
    from importlib.util import find_spec

    return find_spec(module) is not None


def test_ports_are_those_of_the_programs() -> None:
    from umo_serving.folder import Settings

    (serving,) = [
        pod for name, pod in pods(rendered("ha")) if name == "Deployment umo-umo-platform-serving"
    ]
    ports = {port["name"]: port["containerPort"] for port in serving["containers"][0]["ports"]}
    usual = Settings()
    assert ports == {
        "http": usual.http_port,
        "grpc": usual.grpc_port,
        "metrics": usual.metrics_port,
    }


def test_a_serving_pod_has_time_to_end() -> None:
    from umo_serving.supervisor import EXIT_SECONDS

    (serving,) = [
        pod for name, pod in pods(rendered("ha")) if name == "Deployment umo-umo-platform-serving"
    ]
    sleep = serving["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    # The gate ends, then the server; each is killed 10 s after its time.
    assert serving["terminationGracePeriodSeconds"] > sleep + 2 * (EXIT_SECONDS + 10)


CHECKOV = Path(sys.prefix) / "checkov" / "bin" / "checkov"


@pytest.mark.slow
@pytest.mark.skipif(not CHECKOV.is_file(), reason=f"no {CHECKOV}: `make tools` installs it")
def test_checkov(tmp_path: Path, setup: str) -> None:
    import yaml

    file = tmp_path / "manifests.yaml"
    file.write_text(yaml.safe_dump_all(rendered(setup)))
    command = [str(CHECKOV), "--skip-download", "--framework", "kubernetes", "-f", str(file)]
    done = subprocess.run([*command, "--compact", "--quiet"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert ROOT

"""Every object by the schema that the cluster checks it with; a missing schema is a failure."""

import copy
from pathlib import Path

import jsonschema
import kubernetes_validate
import pydantic
import pytest
import yaml

from services.helm_chart import ROOT, SETUPS, Manifest, rendered
from services.schemas import CRDS, crd

KUBERNETES = "1.36"
OURS = ("trainer.kubeflow.org/", "keda.sh/", "gateway.networking.k8s.io/")
OPERATOR = "monitoring.coreos.com/"
FOREIGN = (OPERATOR, "gateway.envoyproxy.io/")
"""Kinds that Kubernetes does not have; the last one's schema is in no package."""


def test_kubernetes_takes_every_object(manifests: list[Manifest]) -> None:
    for one in manifests:
        if not one["apiVersion"].startswith((*OURS, *FOREIGN)):
            kubernetes_validate.validate(one, KUBERNETES, strict=True)


@pytest.mark.skipif(not CRDS.is_dir(), reason=f"no CRDs in {CRDS}")
def test_custom_resources_fit_their_definitions(manifests: list[Manifest]) -> None:
    for one in manifests:
        if one["apiVersion"].startswith(OURS):
            group, version = one["apiVersion"].split("/")
            jsonschema.validate(one, crd(group, one["kind"], version))


@pytest.mark.skipif(not CRDS.is_dir(), reason=f"no CRDs in {CRDS}")
@pytest.mark.parametrize("wrong", ["replicas", "numNode"])
def test_the_definitions_refuse_what_they_do_not_know(wrong: str) -> None:
    (runtime,) = [one for one in rendered("gpu") if one["kind"] == "ClusterTrainingRuntime"]
    runtime["spec"]["mlPolicy"][wrong] = 1
    with pytest.raises(jsonschema.ValidationError, match=wrong):
        jsonschema.validate(runtime, crd("trainer.kubeflow.org", runtime["kind"], "v1alpha1"))


def through_the_operator(one: Manifest) -> Manifest:
    """An object as the pydantic model of its kind keeps it, which drops what it does not know."""
    from cloudcoil.models.prometheus_operator import v1

    kept: Manifest = (
        getattr(v1, one["kind"])
        .model_validate(one)
        .model_dump(mode="json", by_alias=True, exclude_unset=True)
    )
    return kept


@pytest.mark.parametrize("kind", ["ServiceMonitor", "PrometheusRule"])
def test_the_prometheus_operator_takes_its_objects(kind: str) -> None:
    mine = [one for setup in SETUPS for one in rendered(setup) if one["kind"] == kind]
    assert mine
    for one in mine:
        assert one["apiVersion"] == f"{OPERATOR}v1"
        assert through_the_operator(one) == one


def test_the_model_refuses_what_is_wrong() -> None:
    (monitor,) = [one for one in rendered("gpu") if one["kind"] == "ServiceMonitor"]
    wrong = copy.deepcopy(monitor)
    wrong["spec"]["endpoints"][0] |= {"port": ["metrics"], "interval": "often"}
    with pytest.raises(pydantic.ValidationError) as refused:
        through_the_operator(wrong)
    assert {error["loc"][-1] for error in refused.value.errors()} == {"port", "interval"}
    unknown = copy.deepcopy(monitor)
    unknown["spec"]["endpoints"][0]["scrapeEvery"] = "15s"
    assert through_the_operator(unknown) == monitor


def test_monitors_scrape_a_port_that_is_there() -> None:
    manifests = rendered("gpu")
    (monitor,) = [one for one in manifests if one["kind"] == "ServiceMonitor"]
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    services = [
        one
        for one in manifests
        if one["kind"] == "Service" and wanted <= one["metadata"]["labels"].items()
    ]
    (service,) = services
    ports = {port["name"] for port in service["spec"]["ports"]}
    assert {endpoint["port"] for endpoint in monitor["spec"]["endpoints"]} <= ports


def test_serving_may_reach_the_collector_that_it_is_told() -> None:
    manifests = {(one["kind"], one["metadata"]["name"]): one for one in rendered("gpu")}
    pod = manifests["Deployment", "umo-umo-platform-serving"]["spec"]["template"]["spec"]
    told = {one["name"]: one.get("value") for one in pod["containers"][0]["env"]}
    assert told["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://collector.tracing.svc:4318"
    (rule,) = [
        rule
        for rule in manifests["NetworkPolicy", "umo-umo-platform-serving"]["spec"]["egress"]
        if {"port": 4318} in rule["ports"]
    ]
    namespace = {"kubernetes.io/metadata.name": "tracing"}
    assert rule["to"] == [{"namespaceSelector": {"matchLabels": namespace}}]
    assert "OTEL" not in str(rendered("minimal"))


def test_serving_reads_the_bases_that_it_is_told() -> None:
    manifests = {(one["kind"], one["metadata"]["name"]): one for one in rendered("gpu")}
    pod = manifests["Deployment", "umo-umo-platform-serving"]["spec"]["template"]["spec"]
    (volume,) = [one for one in pod["volumes"] if one["name"] == "bases"]
    assert volume["persistentVolumeClaim"] == {"claimName": "bases", "readOnly": True}
    for container in pod["containers"]:
        (mount,) = [one for one in container["volumeMounts"] if one["name"] == "bases"]
        assert (mount["mountPath"], mount["readOnly"]) == ("/bases", True)
    (arguments,) = [one["args"] for one in pod["containers"] if one["name"] == "deployer"]
    assert {"--weights=int8", "--base=/bases/uno", "--base=/bases/omnigen2"} < set(arguments)
    assert "/bases" not in str(rendered("minimal"))


def test_queries_ask_for_metrics_that_are_counted() -> None:
    """Every `umo_` metric of alerts, dashboards and KEDA is one that the gate counts."""
    import re

    from prometheus_client import generate_latest

    from umo_serving.gate.metrics import Metrics

    metrics = Metrics()
    for counted in (metrics.calls, metrics.seconds, metrics.scores):
        counted.labels(*("x" for _ in counted._labelnames))
    known = set(re.findall(r"^(umo_\w+)", generate_latest(metrics.registry).decode(), re.M))
    text = yaml.safe_dump(
        [
            one
            for one in rendered("gpu")
            if one["kind"] in ("PrometheusRule", "ScaledObject", "ConfigMap")
        ]
    )
    asked = set(re.findall(r"umo_(?:calls|queue|generation|identity)\w*", text))
    assert asked
    assert asked <= known


def test_selectors_find_their_pods(manifests: list[Manifest]) -> None:
    labels = [
        one["spec"]["template"]["metadata"]["labels"].items()
        for one in manifests
        if one["kind"] in ("Deployment", "StatefulSet")
    ]
    for one in manifests:
        if one["kind"] == "Service":
            assert any(one["spec"]["selector"].items() <= found for found in labels)
        if one["kind"] == "PodDisruptionBudget":
            wanted = one["spec"]["selector"]["matchLabels"].items()
            assert any(wanted <= found for found in labels)


def test_every_file_of_the_chart_is_read() -> None:
    templates = "".join(
        path.read_text()
        for path in (ROOT / "helm/umo-platform/templates").rglob("*")
        if path.is_file()
    )
    for file in Path(ROOT / "helm/umo-platform/files").iterdir():
        assert f"files/{file.name}" in templates

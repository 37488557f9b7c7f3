"""The schemas of custom resources as their definitions publish them."""

from typing import Any

import yaml

from services.helm_chart import ROOT

CRDS = ROOT.parent / "shared" / "crds"


def crd(group: str, kind: str, version: str) -> dict[str, Any]:
    """The schema of a custom resource, closed: what it does not name, the cluster drops."""
    for file in CRDS.glob(f"{group}_*.yaml"):
        definition = yaml.safe_load(file.read_text())
        if definition["spec"]["names"]["kind"] == kind:
            for one in definition["spec"]["versions"]:
                if one["name"] == version:
                    return closed(one["schema"]["openAPIV3Schema"])
    raise AssertionError(f"no schema of {group} {kind} {version}")


def closed(schema: dict[str, Any]) -> dict[str, Any]:
    """Refuse unknown fields everywhere, and take integers where Kubernetes does."""
    made = dict(schema)
    if made.pop("x-kubernetes-int-or-string", False):
        return {"type": ["integer", "string"]}
    if "properties" in made:
        made["properties"] = {name: closed(inner) for name, inner in made["properties"].items()}
        if not made.get("x-kubernetes-preserve-unknown-fields"):
            made["additionalProperties"] = False
        if "metadata" in made["properties"] and "apiVersion" in made["properties"]:
            made["properties"]["metadata"] = {"type": "object"}
    elif isinstance(made.get("additionalProperties"), dict):
        made["additionalProperties"] = closed(made["additionalProperties"])
    if "items" in made:
        made["items"] = closed(made["items"])
    return made

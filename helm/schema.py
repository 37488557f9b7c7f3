"""Makes values.schema.json of values.yaml: a closed schema, described by the comments.

The type is that of the default. A comment line that begins with `@` holds JSON that is merged in.
Called as `python helm/schema.py`; `--check` only looks whether the file is fresh.
"""

import json
import sys
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node

CHART = Path(__file__).parent / "umo-platform"
TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "seq": "array"}
QUANTITY = {"type": "string", "pattern": "^[0-9.]+(m|k|Ki|M|Mi|G|Gi|T|Ti)?$"}
AMOUNTS = {"type": "object", "additionalProperties": {"type": ["string", "integer"]}}
DEFINITIONS: dict[str, Any] = {
    "quantity": {"description": "An amount, for example 20Gi", **QUANTITY},
    "resources": {
        "description": "Requests and limits, as a container names them",
        "type": "object",
        "additionalProperties": False,
        "required": ["requests", "limits"],
        "properties": {"requests": AMOUNTS, "limits": AMOUNTS},
    },
    "subject": {
        "description": "Who, as RBAC names subjects",
        "type": "object",
        "additionalProperties": False,
        "required": ["kind", "name"],
        "properties": {
            "kind": {"enum": ["User", "Group", "ServiceAccount"]},
            "name": {"type": "string", "minLength": 1},
            "namespace": {"type": "string"},
            "apiGroup": {"type": "string"},
        },
    },
}


def schema(text: str) -> dict[str, Any]:
    """The schema of a values file.

    Raises:
        ValueError: A value has no comment.
    """
    lines = text.splitlines()
    root = yaml.compose(text)
    # Helm hands `global` to every chart.
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of umo-platform",
        "definitions": DEFINITIONS,
        **_object(root, lines, extra={"global": {"type": "object"}}),
    }


def _object(node: Node, lines: list[str], extra: dict[str, Any]) -> dict[str, Any]:
    assert isinstance(node, MappingNode)
    properties = {key.value: _property(key, value, lines) for key, value in node.value}
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(properties),
        "properties": {**properties, **extra},
    }


def _property(key: Node, value: Node, lines: list[str]) -> dict[str, Any]:
    text, rules = _comment(lines, key.start_mark.line)
    if not text:
        raise ValueError(f"values.yaml:{key.start_mark.line + 1}: {key.value} has no comment")
    described: dict[str, Any] = {"description": text}
    if "$ref" in rules:
        return {**described, "allOf": [rules]}
    kind = value.tag.rpartition(":")[2]
    if kind != "map":
        return {**described, "type": TYPES[kind], **rules}
    if rules.get("additionalProperties", False) is not False:
        return {**described, "type": "object", **rules}
    return {**described, **_object(value, lines, {}), **rules}


def _comment(lines: list[str], line: int) -> tuple[str, dict[str, Any]]:
    text: list[str] = []
    rules: dict[str, Any] = {}
    while line and lines[line - 1].lstrip().startswith("# "):
        line -= 1
        comment = lines[line].lstrip().removeprefix("# ")
        if comment.startswith("@ "):
            rules = json.loads(comment.removeprefix("@ "))
        else:
            text.insert(0, comment)
    return " ".join(text), rules


def main() -> None:
    """Write the schema, or check it."""
    made = json.dumps(schema((CHART / "values.yaml").read_text()), indent=1) + "\n"
    file = CHART / "values.schema.json"
    if "--check" not in sys.argv:
        file.write_text(made)
    elif not file.is_file() or file.read_text() != made:
        sys.exit("error: helm/umo-platform/values.schema.json is stale; run `make schema`")


if __name__ == "__main__":
    main()

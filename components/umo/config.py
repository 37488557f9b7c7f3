"""Configuration: frozen keyword-only dataclasses to and from YAML, and their digest."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import yaml
from pydantic import TypeAdapter, ValidationError

from umo.errors import NotFoundError, UsageError

T = TypeVar("T")


def from_mapping(cls: type[T], values: Mapping[str, Any], *, where: str = "config") -> T:
    """Build the dataclass `cls` from plain values, refusing unknown keys and wrong types.

    Args:
        cls: A frozen dataclass, possibly with dataclass fields.
        values: Plain values, as YAML or JSON give them.
        where: What to call the source in an error.

    Raises:
        UsageError: An unknown key, a wrong type, or a rule of `cls` is broken.
    """
    _refuse_unknown(cls, values, where)
    try:
        return TypeAdapter(cls).validate_python(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in first["loc"])
        raise UsageError(
            f"{where}: {path or cls.__name__} is {first['input']!r}: {first['msg']}"
        ) from error


def load(cls: type[T], path: Path) -> T:
    """Read the dataclass `cls` from a YAML file.

    Raises:
        NotFoundError: The file does not exist.
        UsageError: It is not YAML, or does not fit `cls`.
    """
    try:
        values = yaml.safe_load(path.read_text()) or {}
    except FileNotFoundError:
        raise NotFoundError(f"no configuration file at {path}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, Mapping):
        raise UsageError(f"{path} holds a {type(values).__name__}, not a mapping of settings")
    return from_mapping(cls, values, where=str(path))


def to_mapping(config: Any) -> dict[str, Any]:
    """Plain JSON values of a config dataclass."""
    plain: dict[str, Any] = TypeAdapter(type(config)).dump_python(config, mode="json")
    return plain


def digest(config: Any) -> str:
    """sha256 hex digest of a config dataclass or of plain JSON values."""
    plain = to_mapping(config) if dataclasses.is_dataclass(config) else config
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def _refuse_unknown(cls: Any, values: Mapping[str, Any], where: str) -> None:
    fields = {field.name for field in dataclasses.fields(cls)}
    unknown = sorted(set(values) - fields)
    if unknown:
        raise UsageError(
            f"{where}: unknown key {unknown[0]!r}", hint=f"known keys: {', '.join(sorted(fields))}"
        )
    for name, hint in get_type_hints(cls).items():
        if dataclasses.is_dataclass(hint) and isinstance(values.get(name), Mapping):
            _refuse_unknown(hint, values[name], f"{where}: {name}")



"""Configuration: frozen keyword-only dataclasses to and from YAML, and their digest."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import yaml
from pydantic import TypeAdapter, ValidationError

from umo.errors import NotFoundError, UsageError

T = TypeVar("T")


def from_mapping(cls: type[T], values: Mapping[str, Any], *, where: str = "config") -> T:
    """Build the dataclass `cls` from plain values, refusing unknown keys and wrong types.

    Values of a dataclass field change the default of that field; the rest of it stays.

    Args:
        cls: A frozen dataclass, possibly with dataclass fields.
        values: Plain values, as YAML or JSON give them.
        where: What to call the source in an error.

    Raises:
        UsageError: An unknown key, a wrong type, or a rule of `cls` is broken.
    """
    _refuse_unknown(cls, values, where)
    try:
        return TypeAdapter(cls).validate_python(_on_defaults(cls, values))
    except ValidationError as error:
        raise UsageError(f"{where}: {_first_line(error, cls.__name__)}") from error


def read(path: Path) -> dict[str, Any]:
    """Plain settings of a YAML file; an empty file has none.

    Raises:
        NotFoundError: The file does not exist.
        UsageError: It cannot be read, is not YAML, or holds no mapping.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        raise NotFoundError(f"no configuration file at {path}") from None
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise UsageError(f"{path} holds a {type(values).__name__}, not a mapping of settings")
    return values


def load(cls: type[T], path: Path) -> T:
    """Read the dataclass `cls` from a YAML file.

    Raises:
        NotFoundError: The file does not exist.
        UsageError: It is not YAML, or does not fit `cls`.
    """
    return from_mapping(cls, read(path), where=str(path))


def to_mapping(config: Any) -> dict[str, Any]:
    """Plain JSON values of a config dataclass."""
    plain: dict[str, Any] = TypeAdapter(type(config)).dump_python(config, mode="json")
    return plain


def digest(config: Any) -> str:
    """sha256 hex digest of a config dataclass or of plain JSON values."""
    plain = to_mapping(config) if dataclasses.is_dataclass(config) else config
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def _first_line(error: ValidationError, name: str) -> str:
    first = error.errors()[0]
    path = ".".join(str(part) for part in first["loc"]) or name
    match first["type"]:
        case "missing" | "missing_keyword_only_argument":
            return f"{path} is required"
        case "value_error":
            return f"{path}: {first['ctx']['error']}"
        case _:
            return f"{path} is {first['input']!r}: {first['msg']}"


def _on_defaults(cls: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    filled = dict(values)
    for field in dataclasses.fields(cls):
        given = values.get(field.name)
        if field.default_factory is not dataclasses.MISSING and isinstance(given, Mapping):
            filled[field.name] = _over(field.default_factory(), given)
    return filled


def _over(default: Any, given: Any) -> Any:
    """`given`, completed from the dataclass `default`; any other default gives way."""
    if not (dataclasses.is_dataclass(default) and isinstance(given, Mapping)):
        return given
    names = [field.name for field in dataclasses.fields(default) if field.init]
    kept = {name: getattr(default, name) for name in names}
    return {**kept, **{name: _over(kept[name], value) for name, value in given.items()}}


def _refuse_unknown(hint: Any, value: Any, where: str) -> None:
    """Walk the type `hint` and `value` together; pydantic ignores unknown keys of dataclasses."""
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        known = {field.name for field in dataclasses.fields(hint) if field.init}
        unknown = sorted(str(key) for key in value if key not in known)
        if unknown:
            raise UsageError(
                f"{where}: unknown key {unknown[0]!r}",
                hint=f"known keys: {', '.join(sorted(known))}",
            )
        hints = get_type_hints(hint)
        for name, inner in value.items():
            _refuse_unknown(hints[name], inner, f"{where}: {name}")
    elif isinstance(value, list):
        for argument in get_args(hint):
            for item in value:
                _refuse_unknown(argument, item, where)
    elif isinstance(value, Mapping):
        for argument in get_args(hint):
            _refuse_unknown(argument, value, where)

"""Keys of state dicts: how one differs from what a network expects."""

from collections.abc import Mapping


def differences(
    expected: Mapping[str, tuple[int, ...]],
    found: Mapping[str, tuple[int, ...]],
    *,
    most: int | None = None,
) -> str:
    """The keys that are missing, unexpected or of another shape, on one line; empty if none is.

    Args:
        expected: Shapes by key.
        found: The same of what was read.
        most: How many keys of each kind are named; by default all.
    """
    shapes = [
        f"{key} is {found[key]}, not {expected[key]}"
        for key in sorted(expected.keys() & found.keys())
        if expected[key] != found[key]
    ]
    groups = (
        ("missing", sorted(expected.keys() - found.keys())),
        ("unexpected", sorted(found.keys() - expected.keys())),
        ("other shape", shapes),
    )
    return "; ".join(f"{label}: {_named(keys, most)}" for label, keys in groups if keys)


def _named(keys: list[str], most: int | None) -> str:
    if most is None or len(keys) <= most:
        return ", ".join(keys)
    return f"{', '.join(keys[:most])} and {len(keys) - most} more"

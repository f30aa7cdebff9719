"""YAML that somebody else wrote, read as plain data within bounds."""

from __future__ import annotations

from typing import Any

from vfnet_client.safe_text import printable_line

MAX_NODES = 10_000
"""Values within values, with aliases replaced by what they stand for."""
MAX_DEPTH = 32


def parse_yaml(text: str) -> Any:
    """The document, by YAML's safe rules: no tag of Python's, and no merge key. Needs the package PyYAML.

    Args:
        text: bounded by whoever read it: PyYAML takes 3 seconds for 64 kB.

    Raises:
        ValueError: it is no YAML, or beyond the bounds; the words fit behind the file's name.
    """
    import yaml  # type: ignore[import-untyped]

    try:
        # Composed, not yet constructed: merge keys would multiply while that is done.
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        _measure(root, 0)
        return yaml.safe_load(text)
    except _BoundsError as error:
        raise ValueError(str(error)) from None
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, KeyError, RecursionError, OverflowError) as error:
        raise ValueError(f"is no YAML: {printable_line(' '.join(str(error).split()))}") from None


class _BoundsError(Exception):
    pass


def _measure(node: Any, depth: int) -> int:
    """How many values a node is, written out; looks at no more than `MAX_NODES`."""
    if depth > MAX_DEPTH:
        raise _BoundsError(f"is nested more than {MAX_DEPTH} deep")
    if node is None or isinstance(node.value, str):
        return 1
    count = 1
    for child in node.value:
        for part in child if isinstance(child, tuple) else (child,):
            if part.tag == "tag:yaml.org,2002:merge":
                raise _BoundsError("has a merge key (<<); write the values out")
            count += _measure(part, depth + 1)
            if count > MAX_NODES:
                raise _BoundsError(f"has more than {MAX_NODES:,} values, aliases written out")
    return count

"""The measurements as Markdown, beside their targets."""

from __future__ import annotations

from typing import Any

from vfnet_bench.report import table

TARGETS = """\
Targets on an H100: at most 1.6 ms an image at batch 8 and 3.5 ms at batch 1, at least 10 times eager f32 with TF32 off;
AP within 0.003 of f32, at least 99 % of the boxes above 0.3 matched at IoU 0.95; scores in company within 0.001 of
those alone; served at least 0.9 of the bare engine's rate, and mixed sizes at least 0.95 of what each size alone makes
of it; ready within 20 s where kernels are compiled already.
"""


def to_markdown(found: dict[str, Any], command: str) -> str:
    """A page of tables; a section that failed says why."""
    lines = ["# The torch engine on a GPU", "", f"`{command}`", "", TARGETS]
    return "\n".join(lines) + "\n" + "\n".join(section_to_markdown(*section) for section in found.items())


def section_to_markdown(section: str, values: Any) -> str:
    """A heading and the tables under it."""
    return "\n".join([f"## {section}", "", *_table(values), ""])


def _table(values: Any) -> list[str]:
    if not isinstance(values, dict):
        return [str(values)]
    plain = {name: value for name, value in values.items() if not isinstance(value, dict)}
    nested = {name: value for name, value in values.items() if isinstance(value, dict)}
    tables = [table(("", ""), [(name, _text(value)) for name, value in plain.items()]), ""] if plain else []
    if nested:
        columns = list(dict.fromkeys(column for value in nested.values() for column in value))
        rows = [(name, *(_text(value.get(column, "")) for column in columns)) for name, value in nested.items()]
        tables.append(table(("", *columns), rows))
    return tables


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)

"""The page that the hostile suite and the fault suite write their tables into, a section each."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict
from pathlib import Path

from deployment import Resources
from vfnet_client.atomic_files import write_whole

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks" / "robustness.md"
_TITLE = """\
# What it withstands

`make hostile`, `make faults` and `make deploy-faults` start a server as `vfnet up` does, attack or break it, and write
these sections. All load this machine's loopback only, and end by themselves.
"""


def write_section(name: str, lines: list[str], page: Path = PAGE) -> None:
    """Put these lines where the section of that name was, or at the end."""
    begin, end = f"<!-- {name}: written by make {name} -->", f"<!-- end of {name} -->"
    text = page.read_text(encoding="utf-8") if page.exists() else _TITLE
    section = "\n".join([begin, "", *lines, "", end])
    if begin in text and end in text:
        text = text[: text.index(begin)] + section + text[text.index(end) + len(end) :]
    else:
        text = text.rstrip("\n") + "\n\n" + section + "\n"
    page.parent.mkdir(parents=True, exist_ok=True)
    write_whole(page, text.encode())


def machine() -> str:
    """One line about where it was measured, and what else that machine had to do."""
    name = f"{os.cpu_count()} cores, Linux {platform.release().split('-')[0]}, Python {platform.python_version()}."
    return f"{name} Load average over the last 15 minutes, this suite's own included: {os.getloadavg()[2]:.1f}."


def resource_table(before: Resources, after: Resources) -> list[str]:
    """Both, as a table."""
    rows = ["| | before | after |", "|---|--:|--:|"]
    for name, value in asdict(before).items():
        then = asdict(after)[name]
        size = name in ("memory", "shared_memory")
        texts = [f"{each / 2**20:.1f} MiB" if size else str(each) for each in (value, then)]
        rows.append(f"| {name.replace('_', ' ')} | {texts[0]} | {texts[1]} |")
    return rows


def cell(text: object) -> str:
    """As it may stand in a table of Markdown, in one line."""
    line = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in str(text))
    return line.replace("|", "\\|").replace("<", "\\<")

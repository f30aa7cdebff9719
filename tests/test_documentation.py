"""README and docs/ name what there is: files, headings, `vfnet` commands, benchmarks, make's targets.

`mkdocs build --strict` holds the links between pages; README is no page.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shared_data import ROOT
from vfnet.command_table import COMMANDS
from vfnet_bench.command import BENCHMARKS
from vfnet_client.cli import OWN_COMMANDS

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TARGETS = frozenset(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"```.*?```|`[^`\n]+`|^    .*$", re.MULTILINE | re.DOTALL)
_VFNET = re.compile(r"(?:^|[\s`/])vfnet ([a-z]+)(?: ([a-z]+)\b)?", re.MULTILINE)
_MAKE = re.compile(r"(?:^ *|`)make ([a-z][a-z-]*)", re.MULTILINE)


@pytest.fixture(params=PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def page(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


def anchors(page: Path) -> set[str]:
    """Of a page's headings, as GitHub and mkdocs make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def code(page: Path) -> list[str]:
    """What stands between backticks or is indented as code."""
    return _CODE.findall(page.read_text(encoding="utf-8"))


def test_links_lead_somewhere(page: Path) -> None:
    for link in _LINK.findall(page.read_text(encoding="utf-8")):
        if not re.match(r"[a-z]+:", link):
            path, _, anchor = link.partition("#")
            target = page.parent / path if path else page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


def test_commands_exist(page: Path) -> None:
    for text in code(page):
        for name, second in _VFNET.findall(text):
            assert name in COMMANDS | OWN_COMMANDS, text
            assert name != "bench" or not second or second in BENCHMARKS, text
        assert TARGETS.issuperset(_MAKE.findall(text)), text


def test_every_command_is_documented() -> None:
    named = {name for page in PAGES for text in code(page) for name, _ in _VFNET.findall(text)}
    assert named >= set(COMMANDS)

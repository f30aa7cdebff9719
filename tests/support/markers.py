"""What a test needs, as markers: by the fixtures that it asks for, by its folder, or by what its file says itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

OF_FIXTURES = {
    "served": frozenset({
        "server", "quick_server", "slow_server", "torch_server", "reference_server", "small_server", "deployment",
    }),
    "browser": frozenset({"browser"}),
    "parity": frozenset({"reference_checkpoint"}),
    "slow": frozenset({"demo_repository", "torch_repository"}),
}  # fmt: skip
"""Who asks for one of these, be it through another fixture, needs what the marker says."""

OF_FOLDERS = {"parity": "parity"}
"""Marker of all tests below a folder of tests/."""

TAKE_LONG = ("served", "browser", "parity", "training", "slow")
"""Markers of tests that do."""

_IN_FILE = re.compile(r"^pytestmark = (\[.*?^\]|.*?$)", re.MULTILINE | re.DOTALL)
_LEFT_OUT = re.compile(r"not \(?(\w+(?: or \w+)*)\)?")


def of_file(path: Path) -> frozenset[str]:
    """Markers of every test of a file, read without importing it."""
    folders = {OF_FOLDERS[part] for part in path.relative_to(TESTS).parts[:-1] if part in OF_FOLDERS}
    stated = _IN_FILE.search(path.read_text(encoding="utf-8"))
    return frozenset(folders) | frozenset(re.findall(r"pytest\.mark\.(\w+)", stated[1]) if stated else ())


def of_test(item: pytest.Item) -> frozenset[str]:
    """Markers that follow from a test's fixtures and its folder."""
    asked = frozenset(getattr(item, "fixturenames", ()))
    folders = {OF_FOLDERS[part] for part in item.path.relative_to(TESTS).parts[:-1] if part in OF_FOLDERS}
    return frozenset(folders) | {marker for marker, fixtures in OF_FIXTURES.items() if asked & fixtures}


def leaves_out(expression: str, path: Path) -> bool:
    """Whether `-m EXPRESSION`, of the form `not (a or b)`, leaves out all tests of a file, without importing it."""
    matched = _LEFT_OUT.fullmatch(expression.strip())
    return matched is not None and not of_file(path).isdisjoint(matched[1].split(" or "))

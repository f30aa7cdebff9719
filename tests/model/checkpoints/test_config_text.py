"""`parse_config_text` reads what mmcv writes, and nothing that would have to be executed."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfnet_model.checkpoints.config_text import MAX_LENGTH, parse_config_text
from vfnet_model.checkpoints.errors import ConfigTextError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("dict(a=1, b=[2, (3.5,)], c=None)", {"a": 1, "b": [2, (3.5,)], "c": None}),
        ("dict(a=1, **{'b-c': 2})", {"a": 1, "b-c": 2}),
        ("dict({'x-y': 1})", {"x-y": 1}),
        ("{'x-y': dict(z=True), 3: -4}", {"x-y": {"z": True}, 3: -4}),
        ("[(-1, 64), (+64, 1e8)]", [(-1, 64), (64, 1e8)]),
        ("[float('inf'), -inf]", [math.inf, -math.inf]),
        ("'a' 'b'", "ab"),
        ("dict()", {}),
    ],
)
def test_values_read_as_python_would(text: str, value: object) -> None:
    assert parse_config_text(f"a = {text}") == {"a": value}


_literals = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=20,
)


@given(_literals)
def test_any_literal_comes_back_from_its_repr(value: object) -> None:
    assert parse_config_text(f"a = {value!r}") == {"a": value}


def test_names_assigned_earlier_are_resolved() -> None:
    text = "norm = dict(mean=[1, 2])\nsteps = [dict(type='Normalize', **norm), norm]\n"
    assert parse_config_text(text)["steps"] == [{"type": "Normalize", "mean": [1, 2]}, {"mean": [1, 2]}]


def test_a_windows_path_that_mmcv_did_not_escape_is_read() -> None:
    assert parse_config_text("data_root = 'C:\\Users\\me'")["data_root"] == "C:\\Users\\me"


@pytest.mark.parametrize(
    "text",
    [
        "import os",
        "a = __import__('os').system('touch {marker}')",
        "a = open('{marker}', 'w')",
        "a = dict(b=open('{marker}', 'w'))",
        "a = [open(p, 'w') for p in ['{marker}']]",
        "a = (lambda: open('{marker}', 'w'))()",
        "a = f\"{{open('{marker}', 'w')}}\"",
        "open('{marker}', 'w')",
        "def f(): pass",
        "a = os.environ",
        "a = unknown",
        "a = b = 1",
        "a.b = 1",
        "a[0] = 1",
        "a: int = 1",
        "a += 1",
        "a = 2 ** 9999",
        "a = [*[1]]",
        "a = {1, 2}",
        "a = -'x'",
        "a = -True",
        "a = float('x')",
        "a = float('1', '2')",
        "a = dict(1, 2)",
        "a = dict([('b', 1)])",
        "a = dict(**[1])",
        "a = {[]: 1}",
        "a = 'unfinished",
        "a = 'nul \0'",
        "a = 1" + "0" * 5000,
    ],
)
def test_anything_else_is_refused_and_not_executed(text: str, tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    with pytest.raises(ConfigTextError):
        parse_config_text(text.replace("{marker}", str(marker)))
    assert not marker.exists()


def test_a_refusal_names_the_line_and_what_was_found() -> None:
    with pytest.raises(ConfigTextError, match=r"line 3 .*`os\.getcwd\(\)`"):
        parse_config_text("a = 1\nb = dict(\n    c=os.getcwd())\n")


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 100 + "]" * 100,
        "a = " + "[" * 100_000,
        "a = " + "-" * 100_000 + "1",
        "a = " + "not " * 50_000 + "1",
        "a = " + "1+" * 100_000 + "1",
        "a = x" + ".y" * 100_000,
        "a = x" + "()" * 50_000,
        "a = '" + "x" * MAX_LENGTH + "'",
    ],
    ids=["deep", "unclosed", "signs", "not", "sum", "attributes", "calls", "long"],
)
def test_text_made_to_exhaust_the_parser_is_refused(text: str) -> None:
    with pytest.raises(ConfigTextError):
        parse_config_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "a0 = [1]\n" + "".join(f"a{i + 1} = [a{i}, a{i}]\n" for i in range(200)),
        "a0 = dict(x=1)\n" + "".join(f"a{i + 1} = dict(x=a{i}, **a{i})\n" for i in range(200)),
        "a0 = (1, 2)\n" + "".join(f"a{i + 1} = {{a{i}: a{i}}}\n" for i in range(200)),
        "a0 = [1]\n" + "".join(f"a{i + 1} = [a{i}]\n" for i in range(10_000)),
        "a = [" + "1, " * 1000 + "]\n" + "".join(f"b{i} = a\n" for i in range(10_000)),
    ],
    ids=["lists", "dicts", "keys", "deep", "many"],
)
def test_names_that_multiply_are_refused(text: str) -> None:
    with pytest.raises(ConfigTextError, match=r"than 100,000 values|nested more than 64 deep|only literals"):
        parse_config_text(text)


def test_values_may_still_be_named_twice() -> None:
    assert parse_config_text("a = [1]\nb = [a, a]\n")["b"] == [[1], [1]]


@pytest.mark.parametrize("digits", ["0x" + "f" * 5000, "-0x1" + "0" * 256, "0b1" + "0" * 5000])
def test_integers_that_no_float_can_hold_are_refused(digits: str) -> None:
    with pytest.raises(ConfigTextError, match="has an integer beyond any float"):
        parse_config_text(f"a = {digits}")

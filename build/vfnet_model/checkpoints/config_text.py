"""Reads the text of an mmcv config as data. Nothing in it is ever executed."""

from __future__ import annotations

import ast
import math
import warnings
from typing import Any, NamedTuple

from vfnet_client.safe_text import printable_line
from vfnet_model.checkpoints.errors import ConfigTextError

MAX_LENGTH = 512 * 1024
"""Characters. Real configs have 6,000 to 50,000."""
MAX_DEPTH = 64
"""Brackets within brackets, with names replaced by their values. Real configs have about ten."""
MAX_NODES = 100_000
"""Values within values, with names replaced by their values. Real configs have up to 5,000."""

_LARGEST = 2**1023
_UNPACK = object()
_KEYS = (str, bytes, int, float, bool, type(None))
_CONSTANTS = {"inf": math.inf, "nan": math.nan}  # what mmcv writes for these floats


class _Value(NamedTuple):
    """A value; how many are in it, and how deep, were it written out."""

    value: Any
    nodes: int = 1
    depth: int = 0


def parse_config_text(text: str) -> dict[str, Any]:
    """Read the assignments of `meta['config']`, mmcv's `Config.pretty_text`.

    Understood are literals, lists, tuples, dicts, `dict(...)` calls, signs, `float('inf')`, and names assigned
    earlier in the text. At the bound of the text's length this takes 3 seconds and 300 MB, half of it Python's parser.

    Returns:
        The assigned values by name. A value that is named twice is shared; written out, all together have at most
        `MAX_NODES` values within `MAX_DEPTH` brackets. Integers are such as a float can hold.

    Raises:
        ConfigTextError: for anything else, with the line and what was found there.
    """
    if len(text) > MAX_LENGTH:
        raise ConfigTextError(f"the config text has {len(text):,} characters; at most {MAX_LENGTH:,} are read")
    source, module = _parse(text)
    reader = _Reader(source)
    nodes = 0
    for statement in module.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                reader.names[name] = found = reader.evaluate(value, 0)
                nodes += found.nodes
                reader.check(statement, nodes, found.depth)
            case ast.Expr(value=ast.Constant(value=str())):
                continue  # a docstring
            case _:
                raise reader.refusal(statement)
    return {name: found.value for name, found in reader.names.items()}


def _parse(text: str) -> tuple[str, ast.Module]:
    """The text as it could be parsed, and what it is."""
    try:
        return text, _parse_python(text)
    except SyntaxError as error:
        # pretty_text puts strings between quotes without escaping, so that a Windows path such as
        # 'C:\Users\me' is no valid Python.
        if "\\" in text and "unicode error" in str(error.msg):
            try:
                escaped = text.replace("\\", "\\\\")
                return escaped, _parse_python(escaped)
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                pass
        found = printable_line(str(error.msg))
        raise ConfigTextError(f"line {error.lineno} of the config text is not Python: {found}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        found = printable_line(str(error)) or "it is nested too deeply"
        raise ConfigTextError(f"the config text cannot be parsed: {found}") from None


def _parse_python(text: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about escapes such as '\d'
        return ast.parse(text)


class _Reader:
    """Evaluates expressions that consist of values and of names that are in `names`."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.names: dict[str, _Value] = {}

    def evaluate(self, node: ast.expr, depth: int) -> _Value:
        self.check(node, 0, depth)
        match node:
            case ast.Constant(value=bool() | str() | float() | bytes() | None as value):
                return _Value(value)
            case ast.Constant(value=int(value)):
                if not -_LARGEST < value < _LARGEST:
                    raise ConfigTextError(f"line {node.lineno} of the config text has an integer beyond any float")
                return _Value(value)
            case ast.List(elts=items):
                return self.collect(node, items, depth, list)
            case ast.Tuple(elts=items):
                return self.collect(node, items, depth, tuple)
            case ast.Dict(keys=keys, values=values):
                return self.mapping(node, list(zip(keys, values, strict=True)), depth)
            case ast.Call(func=ast.Name(id="dict"), args=[] | [_] as args, keywords=keywords):
                named = [(_name(word), word.value) for word in keywords]
                return self.mapping(node, [(None, arg) for arg in args] + named, depth)
            case ast.Call(func=ast.Name(id="float"), args=[ast.Constant(value=str() as value)], keywords=[]):
                try:
                    return _Value(float(value))
                except ValueError:
                    raise self.refusal(node) from None
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
                number = self.evaluate(operand, depth + 1).value
                if type(number) not in (int, float):
                    raise self.refusal(node)
                return _Value(-number if isinstance(sign, ast.USub) else number)
            case ast.Name(id=name) if name in self.names:
                return self.names[name]
            case ast.Name(id=name) if name in _CONSTANTS:
                return _Value(_CONSTANTS[name])
        raise self.refusal(node)

    def collect(self, node: ast.expr, items: list[ast.expr], depth: int, kind: type[Any]) -> _Value:
        found = [self.evaluate(item, depth + 1) for item in items]
        return self.measured(node, kind(item.value for item in found), found)

    def mapping(self, node: ast.expr, items: list[tuple[ast.expr | None, ast.expr]], depth: int) -> _Value:
        """A dict; the value without a key is itself a dict, which is unpacked."""
        result: dict[Any, Any] = {}
        found = []
        for key_node, value_node in items:
            key = _UNPACK if key_node is None else self.evaluate(key_node, depth + 1).value
            found.append(value := self.evaluate(value_node, depth + 1))
            if key is _UNPACK and isinstance(value.value, dict):
                result.update(value.value)
            elif isinstance(key, _KEYS):
                result[key] = value.value
            else:
                raise self.refusal(node)
        return self.measured(node, result, found)

    def measured(self, node: ast.expr, value: Any, parts: list[_Value]) -> _Value:
        nodes, depth = 1 + sum(part.nodes for part in parts), 1 + max((part.depth for part in parts), default=0)
        self.check(node, nodes, depth)
        return _Value(value, nodes, depth)

    def check(self, node: ast.stmt | ast.expr, nodes: int, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise ConfigTextError(f"line {node.lineno} of the config text is nested more than {MAX_DEPTH} deep")
        if nodes > MAX_NODES:
            raise ConfigTextError(
                f"line {node.lineno} of the config text brings it to more than {MAX_NODES:,} values, names written out"
            )

    def refusal(self, node: ast.stmt | ast.expr) -> ConfigTextError:
        found = " ".join((ast.get_source_segment(self.source, node) or type(node).__name__).split())
        return ConfigTextError(
            f"line {node.lineno} of the config text has `{printable_line(found, 80)}`; only literals, dict(...) and "
            "names assigned before are read, and nothing is executed"
        )


def _name(keyword: ast.keyword) -> ast.expr | None:
    """A keyword's name as a key; None for `**`."""
    return None if keyword.arg is None else ast.copy_location(ast.Constant(value=keyword.arg), keyword)

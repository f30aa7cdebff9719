"""Reads the text of an mmcv config as data. Nothing in it is ever executed."""

from __future__ import annotations

import ast
import math
import warnings
from typing import Any

from vfnet_build.checkpoints.errors import ConfigTextError

MAX_LENGTH = 512 * 1024
"""Characters. Real configs have 6,000 to 50,000."""
MAX_DEPTH = 64
"""Brackets within brackets. Real configs have about ten."""

_UNPACK = object()
_CONSTANTS = {"inf": math.inf, "nan": math.nan}  # what mmcv writes for these floats


def parse_config_text(text: str) -> dict[str, Any]:
    """Read the assignments of `meta['config']`, mmcv's `Config.pretty_text`.

    Understood are literals, lists, tuples, dicts, `dict(...)` calls, signs, `float('inf')`, and names assigned
    earlier in the text.

    Returns:
        The assigned values by name. A value that is named twice is shared.

    Raises:
        ConfigTextError: for anything else, with the line and what was found there.
    """
    if len(text) > MAX_LENGTH:
        raise ConfigTextError(f"the config text has {len(text):,} characters; at most {MAX_LENGTH:,} are read")
    values: dict[str, Any] = {}
    for statement in _parse(text).body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                values[name] = _evaluate(value, values, 0)
            case ast.Expr(value=ast.Constant(value=str())):
                continue  # a docstring
            case _:
                raise _refusal(statement)
    return values


def _parse(text: str) -> ast.Module:
    try:
        return _parse_python(text)
    except SyntaxError as error:
        # pretty_text puts strings between quotes without escaping, so that a Windows path such as
        # 'C:\Users\me' is no valid Python.
        if "\\" in text and "unicode error" in str(error.msg):
            try:
                return _parse_python(text.replace("\\", "\\\\"))
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                pass
        raise ConfigTextError(f"line {error.lineno} of the config text is not Python: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise ConfigTextError(f"the config text cannot be parsed: {error or 'it is nested too deeply'}") from None


def _parse_python(text: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about escapes such as '\d'
        return ast.parse(text)


def _evaluate(node: ast.expr, names: dict[str, Any], depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise ConfigTextError(f"line {node.lineno} of the config text is nested more than {MAX_DEPTH} deep")

    def inner(child: ast.expr) -> Any:
        return _evaluate(child, names, depth + 1)

    match node:
        case ast.Constant(value=value):
            return value
        case ast.List(elts=items):
            return [inner(item) for item in items]
        case ast.Tuple(elts=items):
            return tuple([inner(item) for item in items])
        case ast.Dict(keys=keys, values=values):
            pairs = zip(keys, values, strict=True)
            return _dict(node, [(_UNPACK if key is None else inner(key), inner(value)) for key, value in pairs])
        case ast.Call(func=ast.Name(id="dict"), args=[] | [_] as args, keywords=keywords):
            named = [(keyword.arg or _UNPACK, inner(keyword.value)) for keyword in keywords]
            return _dict(node, [(_UNPACK, inner(arg)) for arg in args] + named)
        case ast.Call(func=ast.Name(id="float"), args=[ast.Constant(value=str() as value)], keywords=[]):
            try:
                return float(value)
            except ValueError:
                raise _refusal(node) from None
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
            number = inner(operand)
            if type(number) not in (int, float):
                raise _refusal(node)
            return -number if isinstance(sign, ast.USub) else number
        case ast.Name(id=name) if name in names:
            return names[name]
        case ast.Name(id=name) if name in _CONSTANTS:
            return _CONSTANTS[name]
    raise _refusal(node)


def _dict(node: ast.expr, items: list[tuple[Any, Any]]) -> dict[Any, Any]:
    """From (key, value) pairs; the value beside `_UNPACK` is itself a dict."""
    result: dict[Any, Any] = {}
    for key, value in items:
        try:
            result.update(value if key is _UNPACK and isinstance(value, dict) else {key: value})
        except TypeError:  # a key that cannot be hashed
            raise _refusal(node) from None
    if _UNPACK in result:
        raise _refusal(node)
    return result


def _refusal(node: ast.stmt | ast.expr) -> ConfigTextError:
    try:
        found = ast.unparse(node)
    except RecursionError:
        found = type(node).__name__
    found = found if len(found) <= 80 else found[:77] + "..."
    return ConfigTextError(
        f"line {node.lineno} of the config text has `{found}`; only literals, dict(...) and names assigned before "
        "are read, and nothing is executed"
    )

"""Numbers of bytes as people write and read them: `64MiB`, `1.5 GB`, `64 MiB`."""

from __future__ import annotations

import argparse
import re

_BINARY, _DECIMAL = ("KiB", "MiB", "GiB", "TiB"), ("kB", "MB", "GB", "TB")
_FACTORS = {
    "": 1,
    "b": 1,
    **{unit.lower(): 1024 ** (power + 1) for power, unit in enumerate(_BINARY)},
    **{unit.lower(): 1000 ** (power + 1) for power, unit in enumerate(_DECIMAL)},
}
_SIZE = re.compile(r"(\d{1,18}(?:\.\d{1,9})?)[ \u00a0]?([a-z]*)", re.IGNORECASE | re.ASCII)
_LARGEST = 2**62


def byte_count(text: str) -> int:
    """An argument that is a number of bytes, from 1 on: bare, or with a unit such as MiB (1024 x 1024) or MB."""
    found = _SIZE.fullmatch(text.strip())
    factor = None if found is None else _FACTORS.get(found[2].lower())
    size = 0 if found is None or factor is None else float(found[1]) * factor
    if not 1 <= size <= _LARGEST or found is None or factor is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of bytes from 1 on, such as 67108864 or 64MiB")
    return int(found[1]) * factor if found[1].isdecimal() else round(size)


def shown_bytes(size: int) -> str:
    """With the largest unit that leaves a whole number, else as it is: a limit is told exactly."""
    for power in range(len(_BINARY), 0, -1):
        if size and size % 1024**power == 0:
            return f"{size // 1024**power} {_BINARY[power - 1]}"
    return f"{size} bytes"

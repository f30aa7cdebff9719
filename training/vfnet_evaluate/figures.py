"""Figures as PNG files, without a display."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

from vfnet_client.atomic_files import write_inside
from vfnet_client.safe_text import printable_line

DOTS_PER_INCH = 110
_LONGEST_NAME = 40


@contextmanager
def plain_texts() -> Iterator[None]:
    """Texts made in here show just their characters. Matplotlib takes what stands between dollars for TeX."""
    with rc_context({"text.parse_math": False, "text.usetex": False}):
        yield


def in_a_picture(text: str) -> str:
    """A name that leaves room for the picture."""
    return printable_line(text, _LONGEST_NAME)


def save_figure(figure: Figure, path: Path) -> None:
    """Write it whole, as PNG."""
    encoded = io.BytesIO()
    figure.savefig(encoded, format="png", dpi=DOTS_PER_INCH)
    write_inside(path, encoded.getvalue())

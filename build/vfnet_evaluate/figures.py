"""Figures as PNG files, without a display."""

from __future__ import annotations

import io
from pathlib import Path

from matplotlib.figure import Figure

from vfnet_client.writing import write_inside

DOTS_PER_INCH = 110


def save_figure(figure: Figure, path: Path) -> None:
    """Write it whole, as PNG."""
    encoded = io.BytesIO()
    figure.savefig(encoded, format="png", dpi=DOTS_PER_INCH)
    write_inside(path, encoded.getvalue())

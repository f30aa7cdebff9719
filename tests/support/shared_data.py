"""What lies beside the checkout in ../shared: goldens, photos, request bodies."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared"

needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared, which is not here")


def reference_image(name: str) -> Path:
    """The file of an image named as in golden/detections.json."""
    images = SHARED / "reference" / "images"
    return images / (f"{name}.jpg" if name == "china" else f"{name}.png")


FIELD = SHARED / "field"
"""Inputs as real machines and tools leave them; its README says which is which."""
needs_field = pytest.mark.skipif(not FIELD.is_dir(), reason="needs ../shared/field")

"""The demonstration checkpoint, which is kept beside this code: small, trained, and described by its model card."""

from __future__ import annotations

from pathlib import Path

DEMO_CLASSES = ("can", "carton", "milk_bottle", "water_bottle")
DEMO_CHECKPOINT = Path(__file__).with_name("demonstration") / "vfnet_demo_fridge.pth"
DEMO_MODEL_CARD = DEMO_CHECKPOINT.with_name("MODEL_CARD.md")

"""The demonstration checkpoint, which is kept beside this code: small, trained, and described by its model card."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).with_name("demonstration")
DEMO_CLASSES = ("can", "carton", "milk_bottle", "water_bottle")
DEMO_CHECKPOINT = _FOLDER / "vfnet_demo_fridge.pth"
DEMO_MODEL_CARD = _FOLDER / "MODEL_CARD.md"
SAMPLE_PICTURE = _FOLDER / "sample.png"
"""A shelf of a fridge with a carton, two milk bottles and a can, 960 x 640, rendered, never trained on."""
CALIBRATION_SCENES, VALIDATION_SCENES = _FOLDER / "calibration", _FOLDER / "validation"
"""Rendered scenes as COCO data sets: what int8 is calibrated on, and what it is judged by."""

"""What can compute the network, by name, and in which precisions: for whoever asks before torch is imported."""

from __future__ import annotations

ENGINE_PRECISIONS = {
    "openvino": ("f32", "bf16", "int8"),
    "torch": ("f32", "bf16", "fp16"),
    "libtorch": ("f32", "fp16"),
    "tensorrt": ("f32", "fp16"),
}
"""By the name of the detector's configuration."""
PRECISIONS = tuple(dict.fromkeys(precision for each in ENGINE_PRECISIONS.values() for precision in each))
"""What any engine computes in."""

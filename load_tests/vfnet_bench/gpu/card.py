"""The card: its name, and what it reaches at best."""

from __future__ import annotations

import torch

from vfnet_bench.gpu.conditions import Conditions


def describe_card(conditions: Conditions) -> dict[str, object]:
    """Names and versions."""
    found: dict[str, object] = {"torch": torch.__version__, "device": "CPU (a rehearsal)"}
    if conditions.on_gpu:
        found["device"] = torch.cuda.get_device_name(conditions.device)
        found["cuda"] = torch.version.cuda
        found["memory GiB"] = round(torch.cuda.get_device_properties(conditions.device).total_memory / 2**30, 1)
    try:
        import triton

        found["triton language"] = triton.__version__
    except ImportError:
        found["triton language"] = "not installed"
    return found


def ceilings(conditions: Conditions) -> dict[str, float]:
    """TFLOP/s of large matrix products on random data, GB/s of a copy (read and written)."""
    side = 256 if conditions.rehearsal else 8192
    found = {}
    for name, dtype in (("fp16", torch.float16), ("bf16", torch.bfloat16), ("f32", torch.float32)):
        torch.backends.cuda.matmul.allow_tf32 = False
        left, right = (torch.randn(side, side, device=conditions.device).to(dtype) for _ in range(2))
        milliseconds = conditions.milliseconds(lambda left=left, right=right: left @ right)  # type: ignore[misc]
        found[f"matmul {name} TFLOP/s"] = 2 * side**3 / milliseconds / 1e9
    source = torch.empty(2**20 if conditions.rehearsal else 2**32, dtype=torch.uint8, device=conditions.device)
    target = torch.empty_like(source)
    milliseconds = conditions.milliseconds(lambda: target.copy_(source))
    found["copy GB/s"] = 2 * source.numel() / milliseconds / 1e6
    return found

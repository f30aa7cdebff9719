"""Where an image's time goes: the kernels that take most of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from torch.profiler import ProfilerActivity, profile

from vfnet_bench.gpu.conditions import Conditions, stock_network
from vfnet_bench.gpu.speed import engine_runs

_SHOWN = 20
_NAME_LENGTH = 80
"""Characters; CUTLASS's names are longer, and differ at their ends too."""
_REST = "all others"


def hot_spots(conditions: Conditions) -> dict[str, float]:
    """Kernel -> milliseconds an image, by falling time, of the engine in fp16 at the largest batch."""
    runs = engine_runs(conditions, stock_network(conditions), "fp16")
    size = max(runs)
    return profiled(conditions, runs[size], conditions.repetitions * size)


def profiled(conditions: Conditions, work: Callable[[], object], images: int) -> dict[str, float]:
    """See `hot_spots`; `work` is run `conditions.repetitions` times, on so many images altogether."""
    work()
    conditions.synchronize()
    with profile(activities=[ProfilerActivity.CUDA if conditions.on_gpu else ProfilerActivity.CPU]) as profiler:
        for _ in range(conditions.repetitions):
            work()
        conditions.synchronize()
    times = defaultdict[str, float](float)
    for event in profiler.key_averages():
        microseconds = event.self_device_time_total if conditions.on_gpu else event.self_cpu_time_total
        times[shortened(event.key)] += microseconds / 1e3 / images
    falling = sorted(times.items(), key=lambda each: -each[1])
    return dict(falling[:_SHOWN]) | {_REST: sum(milliseconds for _, milliseconds in falling[_SHOWN:])}


def shortened(name: str) -> str:
    """Head and tail of a kernel's name, fit for a table."""
    name = name.replace("|", "/")
    if len(name) <= _NAME_LENGTH:
        return name
    head = _NAME_LENGTH // 2
    return f"{name[:head]}…{name[head + 1 - _NAME_LENGTH :]}"

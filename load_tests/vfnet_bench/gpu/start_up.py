"""Seconds until the engine is ready, with and without compiled kernels in the cache, and the memory it takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import torch

from vfnet_bench.gpu.conditions import Conditions, stock_network
from vfnet_runtime.architecture.network_file import write_network

_PROGRAM = """
import json, sys, time
started = time.perf_counter()
import torch
from vfnet_runtime.engines.torch_engine import TorchEngine
imported = time.perf_counter()
engine = TorchEngine(__import__("pathlib").Path(sys.argv[1]), sys.argv[2], "fp16")
ready = time.perf_counter()
used = 0
if engine.device.type == "cuda":
    used = (int(sys.argv[3]) - torch.cuda.mem_get_info(engine.device)[0]) / 2**30
print(json.dumps({"import seconds": imported - started, "load seconds": ready - imported, "GPU memory GiB": used}))
"""


def start_up(conditions: Conditions) -> dict[str, dict[str, float]]:
    """`cold` and `warm`, each in a process of its own, with all default canvases and batch sizes in fp16."""
    path = conditions.scratch / "start_up.pt"
    write_network(stock_network(conditions), path)
    environment = os.environ | {"TRITON_CACHE_DIR": str(conditions.scratch / "start-up kernels")}
    free = 0
    if conditions.on_gpu:
        torch.cuda.empty_cache()
        free = torch.cuda.mem_get_info(conditions.device)[0]  # what this process holds is not the engine's
    found = {}
    for name in ("cold", "warm"):
        finished = subprocess.run(
            [sys.executable, "-c", _PROGRAM, str(path), str(conditions.device), str(free)],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=max(10.0, min(300.0, conditions.seconds_left())),
        )
        if finished.returncode:
            raise RuntimeError(finished.stderr[-2000:])
        found[name] = json.loads(finished.stdout.splitlines()[-1])
    return found

"""The processes behind the ports, grouped by what they do."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import psutil

TRITON, GATEWAY, GENERATOR = "Triton", "gateway", "load generator"
MODELS = ("vfnet_preprocess", "vfnet_detector", "vfnet_postprocess")


def group_processes(
    triton_port: int, gateway_port: int, generator_pid: int, without: int
) -> dict[str, list[psutil.Process]]:
    """Triton, each model's Python processes, the gateway and the load generator; a group that is not here is empty.

    Args:
        without: a process number that is not to be counted.
    """
    groups: dict[str, list[psutil.Process]] = {name: [] for name in (TRITON, *MODELS, GATEWAY, GENERATOR)}
    for process in _listeners(triton_port):
        groups[TRITON].append(process)
        for child in _descendants(process):
            groups[model_of(child) or TRITON].append(child)
    for process in _listeners(gateway_port):
        groups[GATEWAY] += [process, *_descendants(process)]
    with suppress(psutil.Error):
        generator = psutil.Process(generator_pid)
        groups[GENERATOR] = [each for each in (generator, *_descendants(generator)) if each.pid != without]
    return groups


def _listeners(port: int) -> Sequence[psutil.Process]:
    found = {}
    with suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
            if listens and connection.pid:
                found[connection.pid] = psutil.Process(connection.pid)
    return list(found.values())


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    with suppress(psutil.Error):
        return list(process.children(recursive=True))
    return []


def model_of(process: psutil.Process) -> str | None:
    """The model whose Python process this is."""
    with suppress(psutil.Error):
        words = " ".join(process.cmdline())
        return next((model for model in MODELS if f"/{model}/" in words), None)
    return None

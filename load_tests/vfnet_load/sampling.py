"""Watches the servers while they are under load: a process of its own, which the load generator cannot hold up.

usage: python -m vfnet_load.sampling SETTINGS, the JSON of `SamplerSettings`

Each second a line of JSON goes to the file that it was told, see `sample`, until its stdin ends.
"""

from __future__ import annotations

import json
import logging
import os
import select
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

from vfnet_load.process_memory import proportional_set_size
from vfnet_load.server_processes import group_processes

TRITON_COUNTERS = (
    "nv_inference_count",
    "nv_inference_exec_count",
    "nv_inference_request_success",
    "nv_inference_request_failure",
    "nv_inference_queue_duration_us",
    "nv_inference_compute_input_duration_us",
    "nv_inference_compute_infer_duration_us",
    "nv_inference_compute_output_duration_us",
)
GATEWAY_COUNTERS = ("vfnet_gateway_refusals", "vfnet_gateway_images")
_SECONDS = 1.0
_PATIENCE = 60.0
"""Seconds that the process may take to see something first, and to see the last."""
_log = logging.getLogger("vfnet.load")


class SamplerError(Exception):
    """The servers are not watched; `str(error)` says why."""


@dataclass(frozen=True)
class SamplerSettings:
    """What to watch."""

    output: str
    triton_metrics: str
    gateway_metrics: str
    triton_port: int
    """Triton's HTTP port: who listens on it is Triton."""
    gateway_port: int
    generator_pid: int
    """The process of the load, watched too: a busy generator measures itself."""


class Sampler:
    """Samples from `start` to `stop`."""

    def __init__(self, settings: SamplerSettings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin, in a process of its own, with a first sample: what the counters count from. Raises SamplerError."""
        command = [sys.executable, "-m", "vfnet_load.sampling", json.dumps(asdict(self._settings))]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE)
        deadline, output = time.monotonic() + _PATIENCE, Path(self._settings.output)
        while not (output.exists() and output.stat().st_size):
            if (code := self._process.poll()) is not None:
                raise SamplerError(f"the process that watches the servers ended with {code} before its first sample")
            if time.monotonic() > deadline:
                self._process.kill()
                self._process.wait()
                raise SamplerError(f"the process that watches the servers saw nothing in {_PATIENCE:.0f} s")
            time.sleep(0.05)

    def stop(self) -> None:
        """Take a last sample, and end."""
        assert self._process is not None
        assert self._process.stdin is not None
        if (code := self._process.poll()) is not None:
            _log.warning("the process that watches the servers ended early, with %d: their figures end there", code)
        self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_PATIENCE)
        self._process.kill()
        self._process.wait()


def sample(settings: SamplerSettings, client: httpx.Client) -> dict[str, Any]:
    """What there is now.

    Returns:
        `at`, seconds since the epoch; `triton` and `gateway`, counters by name and by model or label (None where the
        server does not answer); `processes`, by group the `cpu` seconds used so far and the `memory` in bytes.
    """
    groups = group_processes(settings.triton_port, settings.gateway_port, settings.generator_pid, os.getpid())
    processes = {}
    for name, members in groups.items():
        cpu = memory = 0.0
        for process in members:
            with suppress(psutil.Error):
                times = process.cpu_times()
                cpu += times.user + times.system
                memory += proportional_set_size(process)
        processes[name] = {"cpu": cpu, "memory": memory}
    return {
        "at": time.time(),
        "triton": _counters(client, settings.triton_metrics, TRITON_COUNTERS, "model"),
        "gateway": _counters(client, settings.gateway_metrics, GATEWAY_COUNTERS, None),
        "processes": processes,
    }


def _counters(client: httpx.Client, url: str, names: tuple[str, ...], label: str | None) -> dict[str, Any] | None:
    found: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    try:
        text = client.get(url).raise_for_status().text
        for family in text_string_to_metric_families(text):
            for each in family.samples if family.name in names else ():
                if not each.name.endswith("_created"):  # the parser calls counters ..._total
                    key = each.labels.get(label, "") if label else ",".join(each.labels.values())
                    found[family.name][key] += each.value
    except (httpx.HTTPError, ValueError):
        return None
    return found


def main(settings: SamplerSettings) -> None:
    """Until stdin ends, and once more then."""
    with Path(settings.output).open("w") as output, httpx.Client(timeout=5, trust_env=False) as client:
        ended = False
        while not ended:
            started = time.monotonic()
            print(json.dumps(sample(settings, client)), file=output, flush=True)
            pause = max(0.0, _SECONDS - (time.monotonic() - started))
            ended = bool(select.select([sys.stdin], [], [], pause)[0])
        print(json.dumps(sample(settings, client)), file=output, flush=True)


if __name__ == "__main__":
    main(SamplerSettings(**json.loads(sys.argv[1])))

"""A Prometheus of the machine's, on a free port, that scrapes one server and one gateway each second."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vfnet_bench.errors import BenchmarkError
from vfnet_client.free_ports import free_ports
from vfnet_serve.local_http import fetch

_START_S, _STOP_S = 30.0, 10.0


@dataclass(frozen=True)
class Prometheus:
    """One that is ready."""

    url: str

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that there are now."""
        return self._ask("query", {"query": expression})

    def range(self, expression: str, start: float, end: float) -> list[dict[str, Any]]:
        """Series between two times of the wall clock, a value a second."""
        return self._ask("query_range", {"query": expression, "start": str(start), "end": str(end), "step": "1"})

    def firing(self) -> set[str]:
        """The names of the alerts that ring."""
        return {each["metric"]["alertname"] for each in self.query('ALERTS{alertstate="firing"}')}

    def _ask(self, what: str, parameters: Mapping[str, str]) -> list[dict[str, Any]]:
        answer = json.loads(fetch(f"{self.url}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"))
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found


@contextmanager
def prometheus(folder: Path, rules: Sequence[Path], targets: Mapping[str, str]) -> Iterator[Prometheus]:
    """One while in the context, whose files are in `folder`.

    Args:
        targets: host and port, by the name of the job.

    Raises:
        BenchmarkError: the program is not there, or does not start.
    """
    program = shutil.which("prometheus")
    if program is None:
        raise BenchmarkError("no program named prometheus is on the PATH: Debian's package has it, and prometheus.io")
    (port,) = free_ports(1)
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(path.absolute()) for path in rules],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [target]}]} for job, target in targets.items()
        ],
    }
    file, log = folder / "prometheus.yml", folder / "prometheus.log"
    file.write_text(json.dumps(config))  # which is YAML, too
    options = (f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}")
    with log.open("wb") as output:
        process = subprocess.Popen([program, f"--config.file={file}", *options], stdout=output, stderr=output)
    try:
        url = f"http://127.0.0.1:{port}"
        _until_ready(process, f"{url}/-/ready", log)
        yield Prometheus(url)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    ends = time.monotonic() + _START_S
    while time.monotonic() < ends and process.poll() is None:
        try:
            fetch(url)
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise BenchmarkError(f"prometheus did not start: {log.read_text(errors='replace')[-500:]}")

"""`vfnet bench deploy`: a model is replaced while callers ask, and while ten times too many do."""

from __future__ import annotations

import argparse
import io
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from PIL import Image

from vfnet_bench.errors import BenchmarkError
from vfnet_bench.options import add_json_argument
from vfnet_bench.progress import Progress
from vfnet_bench.report import publish, table
from vfnet_bench.served_repository import ServedRepository, repository_or_demo, serving
from vfnet_bench.serving.witnesses import Witnesses, kinds_of
from vfnet_client.commands.options import at_least_one, seconds
from vfnet_model.checkpoints.demo import SAMPLE_PICTURE
from vfnet_serve.background import StateFolder
from vfnet_serve.machine import this_machine

_STRIP = (0, 200, 720, 296)
"""Of the sample picture: left, top, right, bottom. After resizing it has a fifth of its pixels, and objects in it."""
_QUIET_S, _AFTERWARDS_S = 10.0, 3.0
_SETTLE_S = 2.0
_LOOK_S = 0.25


@dataclass(frozen=True)
class Replacement:
    """One, under one load."""

    load: str
    seconds: float
    """That `vfnet deploy` took, with the build."""
    answered: int
    refused: int
    failures: tuple[str, ...]
    """What came that was neither an answer nor a refusal."""
    kinds: int | None
    """Different answers to the same request at one way, at most: the old one's and the new one's are two."""
    kinds_afterwards: int | None
    """The same of what was asked after the word "deployed"."""
    usual: float
    """Answers in a second before, median."""
    worst: int
    """In the whole second that had fewest, while the command ran."""
    memory_before: int
    """Bytes that the server's processes have for themselves."""
    memory_after: int
    memory_peak: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet bench deploy`."""
    parser.add_argument(
        "--checkpoint",
        default="demo",
        metavar="FILE",
        help="the second one (default: demo, in bf16: other last digits)",
    )
    parser.add_argument("--precision", default="bf16", help="of the second one (default: %(default)s)")
    parser.add_argument(
        "--requests", type=at_least_one, default=2000, metavar="N", help="ask on until so many (default: %(default)s)"
    )
    parser.add_argument(
        "--factor", type=seconds, default=10.0, help="arrivals over capacity, in the second load (default: %(default)g)"
    )
    add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Measure and print a table; 1 where a request failed or was answered wrongly."""
    image, progress = _strip(), Progress("deploy")
    with tempfile.TemporaryDirectory(prefix="vfnet-bench-") as name:
        folder = Path(name)
        picture = folder / "strip.png"
        picture.write_bytes(image)
        repository = repository_or_demo(None, folder)
        with serving(repository, folder, gateway=True) as running:
            log = StateFolder(folder).server.log
            builds = [(arguments.checkpoint, arguments.precision), ("demo", "f32")]
            first = _replace(running, folder, image, picture, builds[0], arguments.requests, None)
            progress.say("1 of 2")
            second = _replace(running, folder, image, picture, builds[1], 0, arguments.factor * first.usual)
            lost = [line for line in log.read_text(errors="replace").splitlines() if "replacing it" in line]
    found = [first, second]
    told = [failure for each in found for failure in each.failures]
    for line in lost:
        progress.say(f"the server says: {line}")
    for line in sorted(set(told))[:5]:
        progress.say(f"{told.count(line)} x {line}")
    publish(f"{this_machine()}\n\n{_table(found)}", {"replacements": [asdict(each) for each in found]}, arguments.json)
    return int(any(each.failures or (each.kinds or 0) > 2 or (each.kinds_afterwards or 0) > 1 for each in found))


def _strip() -> bytes:
    out = io.BytesIO()
    with Image.open(SAMPLE_PICTURE) as sample:
        sample.convert("RGB").crop(_STRIP).save(out, "PNG")
    return out.getvalue()


def _replace(
    running: ServedRepository,
    folder: Path,
    image: bytes,
    picture: Path,
    build: tuple[str, str],
    requests: int,
    at_rate: float | None,
) -> Replacement:
    memory = _Memory(running.process)
    with memory.watched(), Witnesses(running.endpoints, running.gateway.port, image, at_rate) as witnesses:
        time.sleep(_SETTLE_S)
        since = time.monotonic()
        time.sleep(_QUIET_S)
        before, began = memory.now(), time.monotonic()
        deployed = _deploy(StateFolder(folder).server.state_file, picture, *build)
        ended = time.monotonic()
        while len(witnesses.answers) < requests or time.monotonic() < ended + _AFTERWARDS_S:
            time.sleep(_LOOK_S)
        usual = statistics.median(witnesses.by_second(since, began))
        worst = min(witnesses.by_second(began, ended))
        after = memory.now()
    return Replacement(
        load="4 callers by gRPC, 2 at /score" if at_rate is None else f"{at_rate:.0f} arrivals a second",
        seconds=ended - began,
        answered=len(witnesses.answers),
        refused=witnesses.refused,
        failures=tuple(witnesses.failures),
        kinds=kinds_of(witnesses.answers),
        kinds_afterwards=kinds_of(each for each in witnesses.answers if each.sent > deployed),
        usual=usual,
        worst=worst,
        memory_before=before,
        memory_after=after,
        memory_peak=memory.peak,
    )


def _deploy(state_file: Path, picture: Path, checkpoint: str, precision: str) -> float:
    """`vfnet deploy`; when it said that it was done.

    Raises:
        BenchmarkError: it failed.
    """
    command = [sys.executable, "-m", "vfnet", "deploy", f"--state-file={state_file}", f"--checkpoint={checkpoint}"]
    command += [f"--precision={precision}", f"--compare-on={picture}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        deployed, lines = None, list[str]()
        for line in process.stderr:
            lines.append(line)
            if "deployed:" in line:
                deployed = time.monotonic()
    if process.returncode or deployed is None:
        raise BenchmarkError(f"the deployment failed:\n{''.join(lines[-5:])}")
    return deployed


class _Memory:
    """What the server's processes have for themselves."""

    def __init__(self, process: psutil.Process) -> None:
        self._process, self._ends = process, threading.Event()
        self.peak = 0

    def now(self) -> int:
        """Bytes."""
        total = 0
        for each in [self._process, *self._process.children(recursive=True)]:
            try:
                total += int(each.memory_full_info().uss)
            except psutil.Error:
                continue
        return total

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Note the peak while in the context."""
        thread = threading.Thread(target=self._watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ends.set()
            thread.join()

    def _watch(self) -> None:
        while not self._ends.wait(_LOOK_S):
            self.peak = max(self.peak, self.now())


def _table(found: list[Replacement]) -> str:
    def mib(size: int) -> str:
        return f"{size / 2**20:.0f} MiB"

    rows = [
        ("`vfnet deploy`, with the build", *(f"{each.seconds:.1f} s" for each in found)),
        ("answered", *(f"{each.answered}" for each in found)),
        ("refused, for there were too many", *(f"{each.refused}" for each in found)),
        ("**failed**", *(f"{len(each.failures)}" for each in found)),
        ("different answers to one request (2)", *(f"{each.kinds or ''}" for each in found)),
        ('the same after "deployed" (1)', *(f"{each.kinds_afterwards or ''}" for each in found)),
        ("answers in a second before", *(f"{each.usual:.0f}" for each in found)),
        ("in the worst second of it", *(f"{each.worst}" for each in found)),
        ("memory before", *(mib(each.memory_before) for each in found)),
        ("memory afterwards", *(mib(each.memory_after) for each in found)),
        ("memory at its peak", *(mib(each.memory_peak) for each in found)),
        (
            "**peak over the sum of both**",
            *(f"{each.memory_peak / (each.memory_before + each.memory_after):.2f}" for each in found),
        ),
    ]
    return table(("", *(each.load for each in found)), rows)

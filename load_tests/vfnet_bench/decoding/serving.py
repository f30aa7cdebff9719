"""What a server without a network takes for an image, with libjpeg-turbo by itself and with Pillow alone."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from vfnet_bench.decoding.pictures import Pictures
from vfnet_bench.load import call_in_turn
from vfnet_bench.measurement import Measurement, ratios
from vfnet_bench.progress import Progress
from vfnet_bench.rounds import turns
from vfnet_bench.served_repository import CALLERS_WAIT, WITHOUT_NETWORK, ServedRepository, serving
from vfnet_bench.serving.triton_callers import TritonCallers

_WARM_UP_S = 1.0
_BEFORE, _NOW = "Pillow", "now"


@dataclass
class ServedCosts:
    """Of the same pictures at one of two servers, a value a round."""

    rates: list[float] = field(default_factory=list)
    """Images a second."""
    milliseconds: list[float] = field(default_factory=list)
    """Processor time of all of the server's processes for an image."""


@dataclass(frozen=True)
class ServedPair:
    """Both servers with the same pictures."""

    pictures: Pictures
    before: ServedCosts
    now: ServedCosts

    def measurements(self) -> list[Measurement]:
        """Rates and processor time of both, and their ratios."""
        before = Measurement("Pillow, images/s", "images/s", tuple(self.before.rates))
        now = Measurement("now, images/s", "images/s", tuple(self.now.rates))
        old = Measurement("Pillow, processor", "ms", tuple(self.before.milliseconds))
        new = Measurement("now, processor", "ms", tuple(self.now.milliseconds))
        return [before, now, ratios("images/s, now / Pillow", now, before, None), old, new]

    def to_json(self) -> dict[str, Any]:
        """Every value."""
        return {"name": self.pictures.name, "measurements": [each.to_json() for each in self.measurements()]}


@contextmanager
def both_servers(repository: Path, scratch: Path) -> Iterator[dict[str, ServedRepository]]:
    """One that decodes as it does, and one that finds no simplejpeg. No network in either.

    Raises:
        ServerError: one does not start.
    """
    # The model's own folder is the first in which its process looks for packages.
    before = shutil.copytree(repository, scratch / "before", ignore=shutil.ignore_patterns("network.*"))
    for version in (before / "vfnet_preprocess").glob("[0-9]*"):
        (version / "simplejpeg.py").write_text("raise ImportError\n")
    with ExitStack() as stopped:
        found = {}
        for name, served in ((_BEFORE, before), (_NOW, repository)):
            root = scratch / f"server-{name}"
            root.mkdir()
            found[name] = stopped.enter_context(serving(served, root, [WITHOUT_NETWORK, CALLERS_WAIT]))
        yield found


def measure_served(
    servers: dict[str, ServedRepository], pictures: Pictures, callers: int, seconds: float, rounds: int, say: Progress
) -> ServedPair:
    """Each server `seconds` a round, after one round that does not count."""
    costs = {name: ServedCosts() for name in servers}
    for number, name in turns(list(servers), rounds + 1):
        rate, milliseconds = _load(servers[name], pictures, callers, seconds if number else _WARM_UP_S)
        if number:
            costs[name].rates.append(rate)
            costs[name].milliseconds.append(milliseconds)
            say.say(f"{pictures.name}, {name}, round {number} of {rounds}: {rate:.1f} images/s")
    return ServedPair(pictures, costs[_BEFORE], costs[_NOW])


def _load(served: ServedRepository, pictures: Pictures, callers: int, seconds: float) -> tuple[float, float]:
    """Images a second, and milliseconds of processor time for one."""

    async def ask() -> int:
        triton = TritonCallers(served.endpoints, pictures.encoded)
        try:
            answers = await call_in_turn([triton.call] * callers, seconds)
        finally:
            await triton.close()
        return sum(answer.is_good for answer in answers)

    before, good = _processor_seconds(served), asyncio.run(ask())
    return good / seconds, 1000 * (_processor_seconds(served) - before) / max(1, good)


def _processor_seconds(served: ServedRepository) -> float:
    """That Triton and its models have taken: what others do on the machine is not in it."""
    tree: list[psutil.Process] = [served.process, *served.process.children(recursive=True)]
    return sum(sum(process.cpu_times()[:2]) for process in tree)

"""What the cores did while images were computed: processor time by process, and what is left."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter

import psutil

from vfnet_bench.report import table
from vfnet_load.server_processes import model_of

BARE, CALLERS, TRITON, WATCHDOG, IDLE = "the network alone", "callers", "Triton", "vfnet serve", "none of these"
"""The first two are this process. The last is idle cores, and whatever else runs on the machine."""


@dataclass(frozen=True)
class CoreTime:
    """Seconds of cores that one image took; together they are `cores` times the time between two images."""

    seconds: Mapping[str, float]

    @property
    def total(self) -> float:
        """All cores', busy or not."""
        return sum(self.seconds.values())


@dataclass
class CoreClock:
    """Counts the cores' time while a contestant is measured.

    Args:
        cores: that everyone may use.
        own: what this process does meanwhile.
        server: `vfnet serve`, if it takes part.
    """

    cores: int
    own: str
    server: psutil.Process | None = None
    rounds: list[CoreTime] = field(default_factory=list)
    """One for each time something was measured."""

    def measure(self, images: int, contestant: Callable[[], float]) -> float:
        """What `contestant` measures, over so many images."""
        before, started = self._processor_seconds(), perf_counter()
        value = contestant()
        seconds, after = perf_counter() - started, self._processor_seconds()
        # A process that was started meanwhile counts from its start; what one that has ended did is not known.
        spent = {name: after[name] - before.get(name, 0.0) for name in after}
        spent[IDLE] = max(0.0, self.cores * seconds - sum(spent.values()))
        self.rounds.append(CoreTime({name: each / images for name, each in spent.items()}))
        return value

    def typical(self) -> CoreTime:
        """The medians of the rounds but the first, which is the warm-up. At least two have been measured."""
        counted = self.rounds[1:]
        return CoreTime({name: median(each.seconds.get(name, 0.0) for each in counted) for name in counted[0].seconds})

    def _processor_seconds(self) -> dict[str, float]:
        spent: dict[str, float] = {}
        for name, process in [(self.own, psutil.Process()), *self._of_server()]:
            with suppress(psutil.Error):
                times = process.cpu_times()
                spent[name] = spent.get(name, 0.0) + times.user + times.system
        return spent

    def _of_server(self) -> list[tuple[str, psutil.Process]]:
        if self.server is None:
            return []
        children = self.server.children(recursive=True)
        return [(WATCHDOG, self.server), *((model_of(child) or TRITON, child) for child in children)]


@dataclass(frozen=True)
class CoreTimes:
    """Of the bare network and of the server, at their best throughput."""

    bare: CoreTime
    served: CoreTime

    def to_markdown(self) -> str:
        """Milliseconds of a core an image, side by side."""
        both = self.bare, self.served
        names = sorted({**self.bare.seconds, **self.served.seconds}, key=lambda name: name == IDLE)  # that one last
        rows = [(name, *(_milliseconds(each.seconds.get(name)) for each in both)) for name in names]
        rows.append(("all cores", *(_milliseconds(each.total) for each in both)))
        return table(("core ms an image", "bare network", "served"), rows)

    def to_json(self) -> dict[str, dict[str, float]]:
        """Seconds of a core an image."""
        return {"bare": dict(self.bare.seconds), "served": dict(self.served.seconds)}


def _milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{1e3 * seconds:.1f}"

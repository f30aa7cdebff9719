"""What became of each request."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass
from typing import Any

ANSWERED = ""


@dataclass(frozen=True, slots=True)
class Record:
    """One request."""

    at: float
    """When it was due (open loop) or sent (closed loop), in seconds since the epoch."""
    latency: float
    """Seconds from then to its answer or refusal."""
    lag: float
    """Seconds by which it was sent too late: the load generator's own fault, part of `latency`."""
    way: str
    """`gRPC`, `Triton HTTP` or `/score`."""
    size: str
    """Of the image."""
    reason: str
    """Why it was not answered; `ANSWERED` if it was."""


class Recorder:
    """All requests of a run, in this process and, on a master, from its workers."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.is_running = False
        """Whether users may come: what has to be done before is done."""
        self._unsent = 0
        self._in_flight = 0
        self._workers: dict[str, int] = {}

    def clear(self) -> None:
        """Before a run."""
        self.records, self._unsent, self._workers = [], 0, {}

    def begin(self) -> None:
        """A request is due."""
        self._in_flight += 1

    def end(self, record: Record) -> None:
        """It is over."""
        self._in_flight -= 1
        self.records.append(record)

    @property
    def outstanding(self) -> int:
        """Requests in flight, here and at the workers when they last reported."""
        return self._in_flight + sum(self._workers.values())

    def take_news(self) -> dict[str, Any]:
        """For a worker's next report: what ended since the last, and how many are in flight."""
        news = self.records[self._unsent :]
        self._unsent = len(self.records)
        return {"records": [astuple(record) for record in news], "in_flight": self._in_flight}

    def add_news(self, worker: str, news: dict[str, Any]) -> None:
        """On the master."""
        self._workers[worker] = int(news["in_flight"])
        self.records += records_from(news["records"])


def records_from(rows: Iterable[Iterable[Any]]) -> list[Record]:
    """From `dataclasses.astuple`."""
    return [Record(*row) for row in rows]

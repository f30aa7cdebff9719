"""Servers behind a gateway as a queueing model, run by SimPy.

Left out: the network, and the gateway's own time, which `ServerFigures.overhead` holds as a constant.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import simpy

Steps = Generator[simpy.Event, Any, None]


@dataclass(frozen=True)
class ServerFigures:
    """What one server was measured to do. Times in seconds."""

    service: float
    """Of an image where many wait: 1 / (images a second)."""
    overhead: float = 0.0
    """What a lone image takes beside that: decoding, the way there and back."""
    batch: int = 1
    """Images that are handed over together, one after another, and all answered when the last is done. 1: each is
    answered when it is done, as by the engines on CPUs."""
    start_up: float = 30.0
    """From wanting a server until it gets images."""


@dataclass(frozen=True)
class GatewayLimits:
    """Of all gateways together."""

    places: int = 16
    """Images at each server at once (`--max-in-flight`)."""
    waiting: int = 64
    """Images that may wait for a place (`--max-waiting`); one more is refused."""
    patience: float = 10.0
    """Seconds that they may wait (`--queue-timeout`), then they are refused."""
    notices_after: float = 2.0
    """Seconds until images of a server that is gone are asked of another."""


@dataclass(eq=False)
class SimulatedServer:
    """One that gets images while it is `open`."""

    number: int
    images: deque[float] = field(default_factory=deque)
    """When those came that wait in it."""
    computed: Sequence[float] = ()
    """Those that it has in hand."""
    is_open: bool = True
    is_lost: bool = False
    wakes: simpy.Event | None = None
    """Where it has nothing to do."""

    @property
    def in_flight(self) -> int:
        """Images in it."""
        return len(self.images) + len(self.computed)


class SimulatedService:
    """The gateway, and servers that may be added, closed and lost. All times are the environment's, in seconds.

    Args:
        draw: the seconds that an image takes in a server; `figures.service` each where it is None.
    """

    def __init__(
        self,
        environment: simpy.Environment,
        figures: ServerFigures,
        limits: GatewayLimits,
        draw: Callable[[], float] | None = None,
    ) -> None:
        self.environment, self.figures, self.limits = environment, figures, limits
        self.servers: list[SimulatedServer] = []
        self.waiting: deque[float] = deque()
        """When those came that have no place yet."""
        self.answered: list[tuple[float, float]] = []
        """When each came, and the seconds until its answer."""
        self.refused: list[float] = []
        """When each was refused."""
        self._draw, self._numbers = draw, count()

    @property
    def in_flight(self) -> int:
        """Images at servers: `vfnet_gateway_images_in_flight`."""
        return sum(server.in_flight for server in self.servers)

    @property
    def queued(self) -> int:
        """Images that wait in servers: Triton's `nv_inference_pending_request_count`."""
        return sum(len(server.images) for server in self.servers)

    def add_server(self) -> SimulatedServer:
        """One that is ready."""
        server = SimulatedServer(next(self._numbers))
        self.servers.append(server)
        self.environment.process(self._work(server))
        self._fill()
        return server

    def close(self, server: SimulatedServer) -> None:
        """Let it finish what it has, and send it nothing more."""
        server.is_open = False
        self._forget_if_done(server)

    def lose(self, server: SimulatedServer) -> None:
        """Its machine is away: what it had is asked of others once that is noticed."""
        server.is_lost, server.is_open = True, False
        self.servers.remove(server)
        self.environment.process(self._ask_again([*server.computed, *server.images]))

    def arrive(self) -> None:
        """One image, now."""
        self._give_up_late()
        if self._place(self.environment.now):
            return
        if len(self.waiting) >= self.limits.waiting:
            self.refused.append(self.environment.now)
        else:
            self.waiting.append(self.environment.now)

    def _ask_again(self, images: Sequence[float]) -> Steps:
        yield self.environment.timeout(self.limits.notices_after)
        for came in images:
            if not self._place(came):
                self.waiting.appendleft(came)

    def _place(self, came: float) -> bool:
        """Send it to the server that has fewest, if one has room."""
        ready = [server for server in self.servers if server.is_open]
        if not ready:
            return False
        server = min(ready, key=lambda each: each.in_flight)
        if server.in_flight >= self.limits.places:
            return False
        server.images.append(came)
        if server.wakes is not None:
            server.wakes.succeed()
            server.wakes = None
        return True

    def _fill(self) -> None:
        self._give_up_late()
        while self.waiting and self._place(self.waiting[0]):
            self.waiting.popleft()

    def _give_up_late(self) -> None:
        while self.waiting and self.waiting[0] + self.limits.patience <= self.environment.now:
            self.refused.append(self.waiting.popleft() + self.limits.patience)

    def _work(self, server: SimulatedServer) -> Steps:
        while not server.is_lost:
            if not server.images:
                self._forget_if_done(server)
                if not server.is_open:
                    return
                server.wakes = self.environment.event()
                yield server.wakes
            taken = [server.images.popleft() for _ in range(min(self.figures.batch, len(server.images)))]
            server.computed = taken
            draw = self._draw
            yield self.environment.timeout(sum(draw() if draw else self.figures.service for _ in taken))
            if server.is_lost:
                return
            server.computed = ()
            now = self.environment.now + self.figures.overhead
            self.answered += [(came, now - came) for came in taken]
            self._fill()

    def _forget_if_done(self, server: SimulatedServer) -> None:
        if not server.is_open and not server.in_flight and server in self.servers:
            self.servers.remove(server)

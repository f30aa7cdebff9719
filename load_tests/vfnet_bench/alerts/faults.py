"""What is done to a server and a gateway while a Prometheus looks on."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import psutil

from vfnet_bench.alerts.slow_network import SlowNetwork
from vfnet_bench.alerts.steady_callers import SteadyCallers
from vfnet_bench.servers.fleet import FleetGateway, FleetServer

_LOOK_S = 0.1


@dataclass(frozen=True)
class Scene:
    """All that a fault may be inflicted on."""

    server: FleetServer
    gateway: FleetGateway
    network: SlowNetwork
    callers: SteadyCallers

    def kill_detector(self) -> bool:
        """Whether there was one to kill."""
        for process in self.server.family():
            with contextlib.suppress(psutil.Error):
                if any("/vfnet_detector/" in argument for argument in process.cmdline()[1:2]):
                    process.kill()
                    return True
        return False


def kill_once(scene: Scene, seconds: float) -> None:
    """A detector's process is killed, as where memory runs out, and `vfnet serve` starts another."""
    scene.kill_detector()
    time.sleep(seconds)


def kill_again_and_again(scene: Scene, seconds: float) -> None:
    """Each detector's process, as soon as it is there."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        scene.kill_detector()
        time.sleep(_LOOK_S)


def slow_the_network(scene: Scene, seconds: float) -> None:
    """Between gateway and server each way takes half a second more."""
    scene.network.delay = 0.5
    try:
        time.sleep(seconds)
    finally:
        scene.network.delay = 0.0


def overload(scene: Scene, seconds: float) -> None:
    """Ten times as many requests."""
    before, scene.callers.rate = scene.callers.rate, 10 * scene.callers.rate
    try:
        time.sleep(seconds)
    finally:
        scene.callers.rate = before


def stop_the_gateway(scene: Scene, seconds: float) -> None:
    """It does not run (SIGSTOP), and answers neither callers nor Prometheus."""
    process = psutil.Process(scene.gateway.pid)
    process.suspend()
    try:
        time.sleep(seconds)
    finally:
        process.resume()


FAULTS: Mapping[str, tuple[Callable[[Scene, float], None], float, frozenset[str]]] = {
    "a model killed once": (kill_once, 20.0, frozenset()),
    "a model killed on and on": (kill_again_and_again, 25.0, frozenset({"VFNetAvailabilityBurnsFast"})),
    "a slow network": (slow_the_network, 25.0, frozenset({"VFNetLatencyBurnsFast"})),
    "overload": (overload, 25.0, frozenset({"VFNetAvailabilityBurnsFast", "VFNetRefusals"})),
    "the gateway stopped": (stop_the_gateway, 10.0, frozenset({"VFNetGatewayAway"})),
}
"""What each does, for how many seconds, and the alerts that it has to ring."""

"""How many images are let in: no more than the server answers within `--max-wait`, by the speed that it shows."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

from tritonclient.grpc.model_config_pb2 import ModelConfig

from vfnet_client.model_names import MODEL, EnsembleNames
from vfnet_serve.activity_records import read_record
from vfnet_serve.background_task import BackgroundTask
from vfnet_serve.measured_speed import measure_speed, photo_to_strip
from vfnet_serve.server_log import say
from vfnet_serve.serving_settings import GivenSettings, ServingSettings
from vfnet_serve.triton_process import TritonProcess
from vfnet_serve.watchdog import LOOK_SECONDS, Watchdog

_USUAL_NAMES = EnsembleNames(MODEL)
_MEASURED_AGAIN = (60.0, 300.0, 1800.0)
"""Seconds after the start: a machine that was busy then may not be any more."""
_IDLE_SECONDS = 3.0
_WARMS_UP = "warm_up_canvases"
"""A parameter of the detectors on CPUs, whose time grows with the pixels."""


class WaitLimits:
    """The limits of one ensemble of one `vfnet serve`, which its next Triton server keeps.

    Args:
        settings: chosen for the machine.
        configs: of the models, by name, which are changed.
        names: of the ensemble.
        among: models that share the machine. Each is measured alone, and has to do with its share of that when all
            are asked.
    """

    def __init__(
        self,
        settings: ServingSettings,
        given: GivenSettings,
        configs: Mapping[str, ModelConfig],
        names: EnsembleNames = _USUAL_NAMES,
        among: int = 1,
    ) -> None:
        self.settings, self.given, self.configs = settings, given, configs
        self.names, self.among = names, among
        self.current = settings
        self._again = list(_MEASURED_AGAIN)
        self._since: float | None = None
        self._measurement: BackgroundTask[float] | None = None

    def begin_with(self, settings: ServingSettings) -> None:
        """Those of another, until this one has been measured when it had time."""
        self.current = settings
        self._since = time.monotonic() if settings != self.settings else None

    def is_measuring(self) -> bool:
        """Whether it is being asked now."""
        return self._measurement is not None

    def measure(self, server: TritonProcess, watchdog: Watchdog, stop: threading.Event) -> None:
        """Once, when the first server is ready: let fewer in than chosen where it turns out to be too slow for them.

        Raises:
            TritonLostError: the server has to be started again.
        """
        if self.given.max_in_flight is not None and self.given.max_waiting is not None:
            return
        say(f"{self.names.ensemble} is loaded: measuring its speed, for --max-wait")
        measurement = self._begin(server, stop)
        while not stop.wait(LOOK_SECONDS):
            watchdog.look()
            if server.has_ended(within=1 if measurement.error is not None else 0):
                raise server.failure()
            if measurement.is_done():
                break
        else:
            return
        if measurement.result is None:
            say(f"--max-wait bounds nothing, for the speed could not be measured: {measurement.error}", "WARNING")
            return
        self._bound(measurement.result, server, watchdog)
        while not watchdog.is_idle() and not stop.wait(LOOK_SECONDS):
            watchdog.look()
            if server.has_ended():
                raise server.failure()
        if self.current != self.settings:
            self._since = time.monotonic()

    def look(self, server: TritonProcess, watchdog: Watchdog, stop: threading.Event) -> None:
        """Measure again, at a few times, where fewer are let in than chosen and nobody asks. It does not wait."""
        if self._measurement is not None:
            if not self._measurement.is_done():
                return
            speed, self._measurement = self._measurement.result, None
            if speed is not None and self._bounded(speed).max_in_flight > self.current.max_in_flight:
                self._bound(speed, server, watchdog)
        if self._since is None or not self._again or self.current == self.settings:
            return
        if time.monotonic() - self._since > self._again[0] and watchdog.is_idle() and _is_idle(server, watchdog):
            del self._again[0]
            self._measurement = self._begin(server, stop)

    def _begin(self, server: TritonProcess, stop: threading.Event) -> BackgroundTask[float]:
        """The model whose queue is the ensemble's, and that counts what is in there, is the one to be adjusted."""
        at_once, ratio = self.settings.fewest_in_flight, 1.0
        if _WARMS_UP in self.configs[self.names.detector].parameters:
            ratio = photo_to_strip(self.configs[self.names.preprocess])
        model = self.names.ensemble
        return BackgroundTask(
            f"measuring {model}", lambda: measure_speed(server.endpoints, at_once, stop, model, ratio)
        )

    def _bounded(self, speed: float) -> ServingSettings:
        return self.settings.within_max_wait(speed / self.among, self.given)

    def _bound(self, speed: float, server: TritonProcess, watchdog: Watchdog) -> None:
        bounded = self._bounded(speed)
        if bounded != self.current:
            bounded.apply(self.configs, self.names)
            self.current = bounded
            model = self.names.preprocess
            watchdog.load(model, lambda: server.reconfigure(model, self.configs[model]))
        of_several = self.names != _USUAL_NAMES or self.among > 1
        said = f"{self.names.ensemble}: " if of_several else ""
        shared = f", of which each of {self.among} models has its share" if self.among > 1 else ""
        wait = bounded.longest_wait(speed / self.among)
        say(
            f"{said}{speed:.3g} images/s measured{shared}: --max-in-flight {bounded.max_in_flight} --max-waiting "
            f"{bounded.max_waiting}, so that the newest waits for {wait:.2g} s at most"
        )


def _is_idle(server: TritonProcess, watchdog: Watchdog) -> bool:
    """Whether no model process has done anything for a while."""
    latest = time.monotonic() - _IDLE_SECONDS
    for pid in watchdog.processes:
        record = read_record(server.activity_dir, pid)
        if record is None or record.at_work or record.changed > latest:
            return False
    return True

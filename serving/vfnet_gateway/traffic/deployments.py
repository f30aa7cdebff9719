"""Which ensemble a request goes to: the model that it asks for, a deployment that it names, or one by the shares."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

from vfnet_client.detection_options import NO_OPTIONS, DetectionOptions
from vfnet_client.exceptions import (
    CommandError,
    InferenceError,
    RequestError,
    ServerUnavailableError,
    UnsupportedOptionsError,
    VFNetClientError,
)
from vfnet_client.retry_policy import Deadline
from vfnet_client.safe_text import printable_line
from vfnet_client.score_endpoint import DEPLOYMENT_HEADER
from vfnet_gateway.admission import Place, Priority, RequestPlaces
from vfnet_gateway.capturing import Capture, RequestCapture
from vfnet_gateway.drift import DeploymentDrift, DriftWatch
from vfnet_gateway.ensemble import Ensemble
from vfnet_gateway.settings import GatewaySettings
from vfnet_gateway.traffic.choosing import Chooser
from vfnet_gateway.traffic.deployment_metrics import DeploymentCounts, DeploymentMetrics
from vfnet_gateway.traffic.mirroring import Copies, Mirror, MirrorTarget
from vfnet_gateway.traffic.split import WHOLE, TrafficSplit, read_traffic

_LOOK_AT_THE_FILE_EVERY_S = 1.0
_LEAST_PLACES = 4
"""Of a deployment with a small share: a request of several images is not to go through one at a time."""
_DETECTIONS = "DETECTIONS"
_SHOWN = 60
_ANOTHER_CAN = (InferenceError, ServerUnavailableError, UnsupportedOptionsError)
"""What of a deployment's errors says nothing of another: of two builds, one may be from before the options."""

OpenEnsemble = Callable[[str], Ensemble]
Note = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Destination:
    """Where one request goes. What it asks of an ensemble, it asks of this."""

    ensemble: Ensemble
    deployment: str | None = None
    """Its name, where there are several that the request might have gone to."""
    counts: DeploymentCounts | None = None
    """None: nothing is counted by deployment, because nothing is split."""
    mirror: Mirror | None = None
    fallback: Ensemble | None = None
    """Answers what this one cannot: an inference changes nothing, and no caller has chosen this one."""
    capture: RequestCapture | None = None
    """Offered the images that this one answers; None: none is kept."""
    drift: DeploymentDrift | None = None
    """Looks at some of the images that were answered."""

    @property
    def is_away(self) -> bool:
        """See `Ensemble.is_away`."""
        return self.ensemble.is_away

    def of_a_request(self, priority: Priority = Priority.INTERACTIVE) -> RequestPlaces:
        """See `Ensemble.of_a_request`."""
        return self.ensemble.of_a_request(priority)

    async def infer(
        self,
        place: Place,
        image: bytes,
        deadline: Deadline,
        *,
        options: DetectionOptions = NO_OPTIONS,
        outputs: Sequence[str] = (_DETECTIONS,),
    ) -> dict[str, Any]:
        """As `Ensemble.infer`; counted, and perhaps copied and captured.

        `DETECTIONS` may be there without being asked for.
        """
        if self.drift is None or not self.drift.wants(options):
            return await self._infer(place, image, deadline, options, outputs)
        wanted = outputs if _DETECTIONS in outputs else (*outputs, _DETECTIONS)
        answer = await self._infer(place, image, deadline, options, wanted)
        self.drift.offer(image, answer[_DETECTIONS][0])
        return answer

    async def _infer(
        self, place: Place, image: bytes, deadline: Deadline, options: DetectionOptions, outputs: Sequence[str]
    ) -> dict[str, Any]:
        if self.counts is None and self.capture is None:
            return await self.ensemble.infer(place, image, deadline, options=options, outputs=outputs)
        began = perf_counter()
        wanted = outputs if _DETECTIONS in outputs else (*outputs, _DETECTIONS)
        try:
            answer = await self.ensemble.infer(
                place, image, deadline, options=options, outputs=wanted,
                gives_up_soon=self.fallback is not None,
            )  # fmt: skip
        except VFNetClientError as error:
            if self.counts is not None:
                self.counts.refused(error)
            if self.fallback is None or not isinstance(error, _ANOTHER_CAN):
                raise
            return await self.fallback.infer(place, image, deadline, options=options, outputs=outputs)
        detections = answer[_DETECTIONS][0]
        if self.counts is not None:
            self.counts.answered(perf_counter() - began, detections)
        capture = self.capture
        if capture is not None and capture.consider(image, detections, options):
            capture = None  # kept already, and once is enough
        if self.mirror is not None:
            self.mirror.offer(image, options, detections, capture)
        return answer


class _Routing:
    """The split of one public model, in force."""

    def __init__(self, split: TrafficSplit, named: Mapping[str, Destination], mirror: Mirror | None) -> None:
        self.split, self.named = split, named
        """`named`: where a request goes that names a deployment, whose images are not copied."""
        live = named[split.live]
        self._by_share = {name: replace(each, fallback=live.ensemble) for name, each in named.items()}
        self._by_share[split.live] = replace(live, mirror=mirror)
        self._chooser = Chooser(split.share)

    def choose(self, headers: Mapping[str, str]) -> Destination:
        header = self.split.sticky_header
        caller = None if header is None else headers.get(header)
        name = self._chooser.at_random() if caller is None else self._chooser.for_caller(caller)
        destination = self._by_share[name]
        if destination.counts is not None:
            destination.counts.requested()
        return destination

    @property
    def main(self) -> Ensemble:
        """Of the largest share: while it is ready, so is the model."""
        return self.named[max(self.split.share, key=self.split.share.__getitem__)].ensemble


class Deployments:
    """The public models, and what a traffic file puts behind their names. To be used by one event loop.

    Args:
        open_ensemble: an ensemble of this name, with `settings.max_in_flight` places of its own.
        note: takes a level and a line for the log.
        capture: what answered images are offered to.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        open_ensemble: OpenEnsemble,
        metrics: DeploymentMetrics,
        note: Note,
        capture: Capture | None = None,
        drift: DriftWatch | None = None,
    ) -> None:
        self._drift_of = (lambda _name: None) if drift is None else drift.of
        self._settings, self._open, self._metrics, self._note = settings, open_ensemble, metrics, note
        self._capture = capture
        self.models = settings.models
        self._ensembles: dict[str, Ensemble] = {model: open_ensemble(model) for model in self.models}
        self._plain = {
            model: Destination(ensemble, drift=self._drift_of(model)) for model, ensemble in self._ensembles.items()
        }
        self._named = {
            model: Destination(ensemble, model, drift=self._drift_of(model))
            for model, ensemble in self._ensembles.items()
        }
        self._routings: dict[str, _Routing] = {}
        self._only = self._the_only_destination()
        self._copies = Copies(settings.mirror_room, lambda: self.in_flight, lambda: self.newcomers)
        self._closings: dict[str, asyncio.TimerHandle] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._handled: tuple[int, int, int] | None = None
        """The version of the traffic file that is in force, or was found to be none."""
        self._said = ""
        self._watching: asyncio.Task[None] | None = None

    @property
    def in_flight(self) -> int:
        """Images that have a place, in all ensembles."""
        return sum(ensemble.in_flight for ensemble in self._ensembles.values())

    @property
    def newcomers(self) -> int:
        """Requests waiting for a first place, in all ensembles."""
        return sum(ensemble.newcomers for ensemble in self._ensembles.values())

    def choose(self, headers: Mapping[str, str], model: str | None = None, request_id: str = "") -> Destination:
        """Where a request goes.

        Args:
            headers: by names in small letters, or whatever finds those.
            request_id: by which its images are found again, where they are captured.
            model: the public model that it asks for; None asks for none (/score): then any model may be named, and the
                first is the one that is not.

        Raises:
            RequestError: 404, it names a deployment that there is not.
        """
        chosen = self._chosen(headers, model)
        if self._capture is None:
            return chosen
        deployment = chosen.deployment or self.models[0]
        return replace(chosen, capture=self._capture.of_a_request(headers, request_id, deployment))

    def _chosen(self, headers: Mapping[str, str], model: str | None) -> Destination:
        if self._only is not None:
            return self._only
        asked = model or self.models[0]
        routing = self._routings.get(asked)
        name = headers.get(DEPLOYMENT_HEADER)
        if name is not None:
            return self._find(name, asked, routing, any_model=model is None)
        return self._named[asked] if routing is None else routing.choose(headers)

    async def is_ready(self, model: str | None = None) -> bool:
        """Whether a request for a public model, or for the first, would be answered: by the largest share's."""
        asked = model or self.models[0]
        routing = self._routings.get(asked)
        return await (self._ensembles[asked] if routing is None else routing.main).is_ready()

    async def start(self) -> None:
        """Read the traffic file, if there is to be one, and from now on again when it changes."""
        if self._settings.traffic_file is not None:
            await self._look(self._settings.traffic_file)
            self._watching = asyncio.create_task(self._watch(self._settings.traffic_file))

    async def stop(self, patience: float) -> None:
        """Wait at most so many seconds for what nobody else waits for, and close the connections."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        for timer in self._closings.values():
            timer.cancel()
        await self._copies.stop()
        await asyncio.gather(*(ensemble.close(patience) for ensemble in self._ensembles.values()), *self._closing)

    def _find(self, name: str, asked: str, routing: _Routing | None, *, any_model: bool) -> Destination:
        known = dict(self._named) if any_model else {asked: self._named[asked]}
        known |= {} if routing is None else routing.named
        if name not in known:
            raise RequestError(
                404, f"there is no deployment '{printable_line(name, _SHOWN)}' here; there are: {', '.join(known)}"
            )
        return known[name]

    def _the_only_destination(self) -> Destination | None:
        """While nothing is there to be chosen."""
        return None if self._routings or len(self.models) > 1 else self._plain[self.models[0]]

    async def _watch(self, file: Path) -> None:
        while True:
            await asyncio.sleep(_LOOK_AT_THE_FILE_EVERY_S)
            try:
                await self._look(file)
            except Exception as error:  # the next change is to be seen all the same
                self._say("ERROR", f"{file} was not put into force: {type(error).__name__}: {error}")

    async def _look(self, file: Path) -> None:
        """Put a changed file into force. One that cannot be leaves all as it was."""
        version = _version(file)
        if version == self._handled:
            return
        try:
            splits = read_traffic(file)
            for model in splits:
                if model not in self.models:
                    raise CommandError(f"{file}: [{model}] is no public model; there are: {', '.join(self.models)}")
        except CommandError as error:
            self._say("ERROR", f"{error}; the traffic stays as it was")
            self._handled = version
            return
        missing = await self._missing(splits)
        if missing:
            self._say(
                "WARNING",
                f"{file} names {', '.join(missing)}, which Triton does not serve: the traffic stays as it was until "
                "it does",
            )
            return
        if _version(file) == version:  # else the next look finds what is there now
            self._put_into_force(splits)
            self._handled = version

    async def _missing(self, splits: Mapping[str, TrafficSplit]) -> list[str]:
        """Those that would get requests or copies, and did not before, and could not answer."""
        served = {name for routing in self._routings.values() for name in routing.named} | set(self.models)
        wanted = {
            name for split in splits.values() for name in split.names if split.share.get(name) or split.mirror.get(name)
        }
        fresh = sorted(wanted - served)
        ready = await asyncio.gather(*(self._ensemble(name).is_ready() for name in fresh))
        return [name for name, is_ready in zip(fresh, ready, strict=True) if not is_ready]

    def _ensemble(self, name: str) -> Ensemble:
        """An open one, to stay open for now."""
        if name not in self._ensembles:
            self._ensembles[name] = self._open(name)
        if name in self._closings:
            self._closings.pop(name).cancel()
        return self._ensembles[name]

    def _put_into_force(self, splits: Mapping[str, TrafficSplit]) -> None:
        before = self._routings
        self._routings = {model: self._routing(split) for model, split in splits.items()}
        self._only = self._the_only_destination()
        for model in self.models:
            old, new = before.get(model), self._routings.get(model)
            self._metrics.show(model, None if old is None else old.split, None if new is None else new.split)
            if new is not None:
                self._say("INFO", f"traffic of {model}: {new.split.describe()}")
            elif old is not None:
                self._say("INFO", f"traffic of {model}: all its own")
        used = {name for split in splits.values() for name in split.names} | set(self.models)
        for name in self._ensembles.keys() - used - self._closings.keys():
            self._close_later(name)

    def _routing(self, split: TrafficSplit) -> _Routing:
        named = {}
        for name in split.names:
            ensemble, percent = self._ensemble(name), split.share.get(name, 0.0)
            if name not in self.models:  # those have requests of their own beside this split
                ensemble.resize(self._places(WHOLE if name == split.live else percent))
            self._metrics.watch(name, lambda name=name: self._images_in(name))  # type: ignore[misc]
            named[name] = Destination(ensemble, name, self._metrics.of(name), drift=self._drift_of(name))
        targets = [
            MirrorTarget(named[name].ensemble, self._metrics.of(name), percent)
            for name, percent in split.mirror.items()
            if percent
        ]
        return _Routing(split, named, Mirror(targets, self._copies) if targets else None)

    def _images_in(self, name: str) -> int:
        ensemble = self._ensembles.get(name)
        return 0 if ensemble is None else ensemble.in_flight

    def _places(self, percent: float) -> int:
        """By its share: so a new deployment that hangs, or is asked too much, holds no more of Triton than that."""
        most = self._settings.max_in_flight
        return max(min(_LEAST_PLACES, most), math.ceil(most * percent / WHOLE))

    def _close_later(self, name: str) -> None:
        """When no request that chose it can still be reading its body or waiting for an answer."""
        patience = self._settings.body_timeout + 2 * self._settings.timeout

        async def close(ensemble: Ensemble) -> None:
            with contextlib.suppress(Exception):  # its connection is gone either way
                await ensemble.close(self._settings.timeout)

        def begin() -> None:
            del self._closings[name]
            task = asyncio.create_task(close(self._ensembles.pop(name)))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

        self._closings[name] = asyncio.get_running_loop().call_later(patience, begin)

    def _say(self, level: str, message: str) -> None:
        if message != self._said:
            self._said = message
            self._note(level, message)


def _version(file: Path) -> tuple[int, int, int]:
    """Another one for another content; of a file that is not there, or not to be reached, always the same."""
    try:
        status = file.stat()
    except OSError:
        return 0, 0, 0
    return status.st_mtime_ns, status.st_size, status.st_ino

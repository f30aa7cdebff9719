"""The one place where the gateway sends an inference: in turn, and again where that may help."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextvars import Context
from time import monotonic
from typing import Any

from vfnet_client.detection_options import NO_OPTIONS, DetectionOptions
from vfnet_client.fair_retry import FairRetry
from vfnet_client.retry_policy import Deadline, RetryPolicy, proof_picture
from vfnet_client.server_errors import deadline_exceeded
from vfnet_client.servers.pool import ServerPool
from vfnet_client.transport import Transport, server_urls
from vfnet_gateway.admission import ImagePlaces, Place, Places, Priority, RequestPlaces
from vfnet_gateway.settings import GatewaySettings
from vfnet_gateway.steps import TRITON, step

_BUSY_PATIENCE_S = 2.0
"""How long a gateway that has nothing in the ensemble keeps asking a Triton that others fill."""
_READY_FOR_S = 0.5
"""How long Triton's word on whether it is ready is good for: however many want to know, it is asked twice a second."""
_READY_PATIENCE_S = 3.0
_PROVEN_FOR_S = 10.0
"""An answer says for so long that images are answered; without one, whether it is ready is proven by an inference."""
_PROOF_TIMEOUT_S = 10.0
_ABANDONED_AT_MOST_S = 60.0
"""How long Triton may go on with what nobody waits for: longer, and it or the way to it has broken."""

OpenPlaces = Callable[[int, Callable[[], bool]], Places]
FairRetries = Mapping[Priority, FairRetry]
"""In which order images ask a Triton again that has refused them. It has a queue for each priority, so that they are
refused separately."""


def fair_retries() -> FairRetries:
    """Of all images that one gateway sends to one Triton, whatever models they are for: these share its room."""
    return {priority: FairRetry(_BUSY_PATIENCE_S) for priority in Priority}


class Ensemble:
    """Places in the ensemble, and the inferences of whoever has one. To be used by one event loop.

    A Triton that is away is asked again until the request's deadline, so that its callers do not see it restart.

    An inference that was sent is never cancelled at Triton, whose gRPC front end can crash of that (before 25.04:
    triton-inference-server/server, pull requests 7840 and 8078). If its caller leaves or its deadline passes, it keeps
    its place until Triton has answered.

    Args:
        retries: shared with the other ensembles of the same Triton; None: there are none.
        open_places: makes its places, of how many, and by whether the servers are away; None: places of its own.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        transport: Transport,
        retries: FairRetries | None = None,
        open_places: OpenPlaces | None = None,
    ) -> None:
        self._transport, self._server = transport, ", ".join(server_urls(settings.server))
        self._places_of_each = settings.max_in_flight
        self._abandoned: set[asyncio.Task[dict[str, Any]]] = set()
        self._policy = RetryPolicy(self._prove)
        self._image_places: Places = (
            ImagePlaces(settings.max_in_flight, settings.max_waiting, settings.queue_timeout, lambda: self.is_away)
            if open_places is None
            else open_places(settings.max_in_flight, lambda: self.is_away)
        )
        # All requests share them: an image that Triton refuses waits for one that it answers, and none pushes in.
        self._fair_retries = fair_retries() if retries is None else retries
        self._was_ready, self._asked_at = False, -_READY_FOR_S
        self._asking: asyncio.Task[bool] | None = None
        if isinstance(transport, ServerPool):
            transport.priority = Priority.INTERACTIVE
            transport.told.append(lambda _url, _reason: self._count_places())
        self._count_places()

    @property
    def servers(self) -> int:
        """Servers that get images: at least 1, for what waits while all are away."""
        return max(1, self._transport.number_in) if isinstance(self._transport, ServerPool) else 1

    def resize(self, max_in_flight: int) -> None:
        """So many places for each server from now on; what has one keeps it."""
        self._places_of_each = max_in_flight
        self._count_places()

    def _count_places(self) -> None:
        self._image_places.resize(self._places_of_each * self.servers)

    @property
    def is_away(self) -> bool:
        """Whether Triton is away or has lost a model's process, by what was last heard of it."""
        return self._policy.is_away

    @property
    def in_flight(self) -> int:
        """Images that have a place, also those that nobody waits for."""
        return self._image_places.in_flight

    @property
    def newcomers(self) -> int:
        """Requests waiting for their first place."""
        return self._image_places.newcomers

    async def is_ready(self) -> bool:
        """Whether an image that is sent now would be answered.

        Triton goes on saying that it is ready when a model's process has died: the images that wait know better, and
        where none was answered of late, a picture of our own is sent to know.
        """
        if self._policy.waiting > 0 and self._policy.is_away:
            return False
        if monotonic() - self._asked_at >= _READY_FOR_S:
            if self._asking is None:
                self._asking = asyncio.create_task(self._find_out(), context=Context())  # of nobody's trace
            await asyncio.shield(self._asking)
        return self._was_ready

    async def _find_out(self) -> bool:
        try:
            self._was_ready = await self._transport.is_ready(timeout=_READY_PATIENCE_S)
            if self._was_ready and (self.is_away or self._policy.seconds_since_answer() > _PROVEN_FOR_S):
                self._was_ready = await self._policy.is_proven(_PROOF_TIMEOUT_S)
        finally:
            self._asked_at, self._asking = monotonic(), None
        return self._was_ready

    def of_a_request(self, priority: Priority = Priority.INTERACTIVE) -> RequestPlaces:
        """What one request asks for its places: `async with places.place() as place` around each `infer`."""
        return self._image_places.of_a_request(priority)

    async def infer(
        self,
        place: Place,
        image: bytes,
        deadline: Deadline,
        *,
        options: DetectionOptions = NO_OPTIONS,
        outputs: Sequence[str] = ("DETECTIONS",),
        gives_up_soon: bool = False,
    ) -> dict[str, Any]:
        """One inference for an image that has a place; other arguments and answer as of `Transport.infer`.

        Cancelling it drops what waits to be sent. What was sent keeps the place until Triton has answered.

        Args:
            gives_up_soon: whether a model that is away is asked a few times only, because another can answer.

        Raises:
            InvalidImageError: the image is at fault, also where it kills the model's process.
            InvalidOptionsError: the options are.
            ServerBusyError, ServerUnavailableError, DeadlineExceededError, InferenceError: it is not.
        """

        fair_retry = self._fair_retries[place.priority]

        def keep(inference: asyncio.Task[dict[str, Any]]) -> None:
            place.keep_until(inference)
            fair_retry.keep(inference)

        async def once(left: float | None) -> dict[str, Any]:
            inference = self._transport.infer(image, options=options, outputs=outputs, priority=place.priority)
            return await self._answer(inference, left, keep)

        with step(TRITON):
            return await fair_retry.send(lambda: self._policy.ask(once, deadline, is_known_to_be_away=gives_up_soon))

    async def answer_copy(
        self, image: bytes, patience: float, *, options: DetectionOptions = NO_OPTIONS
    ) -> dict[str, Any]:
        """One try at low priority, without a place, for a copy of an image whose caller has its answer already.

        Args:
            patience: seconds to wait for its `DETECTIONS`.

        Raises:
            VFNetClientError: as of `infer`; also where asking again would have helped.
        """
        copy = self._transport.infer(image, options=options, priority=Priority.BATCH)
        return await self._answer(copy, patience)

    async def close(self, patience: float) -> None:
        """`finish`, and give the connection back, which cancels what is still in Triton."""
        await self.finish(patience)
        await self._transport.close()

    async def finish(self, patience: float) -> None:
        """Wait at most so many seconds for inferences that nobody else waits for. To be called last."""
        if self._asking is not None:
            self._asking.cancel()
        if self._abandoned:
            await asyncio.wait(tuple(self._abandoned), timeout=patience)

    async def _prove(self, timeout: float) -> None:
        proof = self._transport.infer(proof_picture(), priority=Priority.INTERACTIVE)
        await self._answer(proof, timeout)

    async def _answer(
        self,
        inference: Coroutine[Any, Any, dict[str, Any]],
        left: float | None,
        keep: Callable[[asyncio.Task[dict[str, Any]]], None] = lambda _: None,
    ) -> dict[str, Any]:
        """Triton's answer.

        Args:
            inference: of the transport, without a time-out: a deadline that Triton knows of cancels there, too.
            left: seconds to wait for it.
            keep: is given the inference if Triton goes on with it when this has returned.

        Raises:
            DeadlineExceededError: there was none in time. What `inference` raises is passed on.
        """
        task = asyncio.create_task(inference)
        try:
            await asyncio.wait({task}, timeout=left)
        finally:
            if not task.done():
                self._abandon(task)
                keep(task)
        if not task.done():
            raise deadline_exceeded(self._server, left)
        return task.result()

    def _abandon(self, task: asyncio.Task[dict[str, Any]]) -> None:
        self._abandoned.add(task)
        limit = asyncio.get_running_loop().call_later(_ABANDONED_AT_MOST_S, task.cancel)

        def ended(_: asyncio.Task[dict[str, Any]]) -> None:
            limit.cancel()
            self._abandoned.discard(task)
            if not task.cancelled():
                task.exception()  # which concerns nobody any more

        task.add_done_callback(ended)

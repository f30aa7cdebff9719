"""The one place where the gateway sends an inference: in turn, and again where that may help."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Any

from vfnet_client.fair_retry import FairRetry
from vfnet_client.retry_policy import Deadline, RetryPolicy, proof_picture
from vfnet_client.transport import Transport
from vfnet_gateway.admission import ImagePlaces, Priority, RequestPlaces
from vfnet_gateway.settings import GatewaySettings

_BUSY_PATIENCE_S = 2.0
"""How long a gateway that has nothing in the ensemble keeps asking a Triton that others fill."""
_READY_FOR_S = 0.5
"""How long Triton's word on whether it is ready is good for: however many want to know, it is asked twice a second."""
_READY_PATIENCE_S = 3.0


class Ensemble:
    """Places in the ensemble, and the inferences of whoever has one. To be used by one event loop.

    A Triton that is away is asked again until the request's deadline, so that its callers do not see it restart.
    """

    def __init__(self, settings: GatewaySettings, transport: Transport) -> None:
        self._transport = transport
        self._policy = RetryPolicy(self._prove)
        self._image_places = ImagePlaces(
            settings.max_in_flight, settings.max_waiting, settings.queue_timeout, is_stalled=lambda: self.is_away
        )
        # All requests share them: an image that Triton refuses waits for one that it answers, and none pushes in.
        # Triton has a queue for each priority, so that they are refused separately.
        self._fair_retries = {priority: FairRetry(_BUSY_PATIENCE_S) for priority in Priority}
        self._was_ready, self._asked_at = False, -_READY_FOR_S

    @property
    def is_away(self) -> bool:
        """Whether Triton is away or has lost a model's process, by what was last heard of it."""
        return self._policy.is_away

    @property
    def in_flight(self) -> int:
        """Images that have a place."""
        return self._image_places.in_flight

    @property
    def newcomers(self) -> int:
        """Requests waiting for their first place."""
        return self._image_places.newcomers

    async def is_ready(self) -> bool:
        """Whether an image that is sent now would be answered.

        Triton goes on saying that it is ready when a model's process has died: the images that wait know better.
        """
        if self._policy.waiting > 0:
            return False
        if monotonic() - self._asked_at >= _READY_FOR_S:
            self._was_ready = await self._transport.is_ready(timeout=_READY_PATIENCE_S)
            self._asked_at = monotonic()
        return self._was_ready

    def of_a_request(self, priority: Priority = Priority.INTERACTIVE) -> RequestPlaces:
        """What one request asks for its places: `async with places.place()` around each `infer`."""
        return self._image_places.of_a_request(priority)

    async def infer(
        self,
        places: RequestPlaces,
        image: bytes,
        deadline: Deadline,
        *,
        score_threshold: float | None = None,
        outputs: Sequence[str] = ("DETECTIONS",),
    ) -> dict[str, Any]:
        """One inference for a request that has a place; arguments and answer as of `Transport.infer`.

        Raises:
            InvalidImageError: the image is at fault, also where it kills the model's process.
            ServerBusyError, ServerUnavailableError, DeadlineExceededError, InferenceError: it is not.
        """

        async def once(left: float | None) -> dict[str, Any]:
            return await self._transport.infer(
                image,
                score_threshold=score_threshold,
                outputs=outputs,
                timeout=None if left is None else max(left, 1e-3),
                priority=places.priority,
            )

        return await self._fair_retries[places.priority].send(lambda: self._policy.ask(once, deadline))

    async def _prove(self, timeout: float) -> None:
        await self._transport.infer(proof_picture(), timeout=timeout, priority=Priority.INTERACTIVE)

"""A checked request carried out: its place in the ensemble, its deadline, what is counted of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from vfnet_client.exceptions import (
    DeadlineExceededError,
    FatalImageError,
    InvalidImageError,
    RequestError,
    ServerUnavailableError,
)
from vfnet_client.retry_policy import Deadline
from vfnet_gateway.admission import Priority, RequestPlaces
from vfnet_gateway.kserve.checked_request import CheckedRequest, bounded_timeout
from vfnet_gateway.kserve.public_interface import OutputTensor, PublicModels, output_tensors
from vfnet_gateway.leaving import Leaving
from vfnet_gateway.metrics import GatewayMetrics
from vfnet_gateway.request_record import RequestRecord
from vfnet_gateway.traffic.deployments import Deployments, Destination

_MOMENT_S = 0.1
"""By which the inference's own deadline comes before that of waiting for it: it knows better what there is to say."""


class Inference:
    """The public models. To be used by one event loop.

    Args:
        deployments: what answers for each public model.
        timeout: seconds that any request may take.
        max_image_bytes: of one encoded image.
        leaving: whether the gateway stops, and is not ready for that.
    """

    def __init__(
        self,
        deployments: Deployments,
        metrics: GatewayMetrics,
        timeout: float,
        max_image_bytes: int,
        leaving: Leaving,
    ) -> None:
        self._deployments, self._metrics, self._leaving = deployments, metrics, leaving
        self.models = PublicModels(deployments.models)
        self.timeout, self.max_image_bytes = timeout, max_image_bytes

    async def is_ready(self, model: str | None = None) -> bool:
        """Whether one of `models`, or all of them, could serve."""
        if self._leaving.has_begun:
            return False
        names = self.models.names if model is None else (model,)
        return all([await self._deployments.is_ready(name) for name in names])

    def choose(self, model: str, headers: Mapping[str, str], record: RequestRecord) -> Destination:
        """Where a request for one of `models` goes. Raises RequestError, 404: it names a deployment there is not."""
        destination = self._deployments.choose(headers, model, record.request_id)
        record.deployment = destination.deployment
        return destination

    async def infer(
        self,
        destination: Destination,
        request: CheckedRequest,
        record: RequestRecord,
        *,
        priority: Priority,
        time_left: float | None = None,
    ) -> list[OutputTensor]:
        """The outputs asked for. Cancelling it drops what is not yet sent; see `Ensemble.infer`.

        Args:
            destination: of `choose`.
            priority: what the headers say; the request's own parameter can only be less urgent.
            time_left: seconds until the caller's own deadline.

        Raises:
            RequestError: 400, the image cannot be detected on, or not with its options.
            ServerBusyError, ServerUnavailableError, DeadlineExceededError, InferenceError: it is not the image.
        """
        deadline = Deadline.after(bounded_timeout(self.timeout, request.timeout, time_left))
        record.priority = max(priority, request.priority or priority)
        places = destination.of_a_request(record.priority)
        record.images = 1
        try:
            with record.stage("inference"):
                arrays = await self._in_its_place(destination, places, request, deadline)
        except InvalidImageError as error:
            record.has_failed_images = isinstance(error, FatalImageError)
            self._metrics.images.labels("unreadable").inc()
            raise RequestError(400, str(error)) from error
        self._metrics.images.labels("detected").inc()
        return output_tensors(arrays, request.outputs)

    async def _in_its_place(
        self, destination: Destination, places: RequestPlaces, request: CheckedRequest, deadline: Deadline
    ) -> dict[str, Any]:
        try:
            with self._metrics.levels.image(places.priority):
                async with asyncio.timeout(bounded_timeout(deadline.remaining()) + _MOMENT_S), places.place() as place:
                    return await destination.infer(
                        place, request.image, deadline,
                        options=request.options, outputs=request.outputs,
                    )  # fmt: skip
        except TimeoutError as error:
            if destination.is_away:
                raise ServerUnavailableError("Triton was not back in the time allowed") from error
            raise DeadlineExceededError("no answer in the time allowed") from error

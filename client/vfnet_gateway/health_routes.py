"""Is it alive, is it ready, what is it: for load balancers, AzureML's and MLflow's habits."""

from __future__ import annotations

from importlib.metadata import version
from time import monotonic

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from vfnet_client.exceptions import ServerUnavailableError
from vfnet_client.transport import Transport
from vfnet_gateway.ensemble import Ensemble

_ASK_AGAIN_AFTER_S = 0.5
_PATIENCE_S = 3.0


class HealthRoutes:
    """`/` says that the gateway runs; `/ping` and `/health` that the detector behind it is ready."""

    def __init__(self, transport: Transport, ensemble: Ensemble) -> None:
        self._transport, self._ensemble = transport, ensemble
        self._ready, self._asked_at = False, -_ASK_AGAIN_AFTER_S

    def routes(self) -> list[Route]:
        """For the application's table."""
        return [
            Route("/", self.alive),
            Route("/ping", self.ready),
            Route("/health", self.ready),
            Route("/version", self.version),
        ]

    async def alive(self, _request: Request) -> Response:
        """AzureML's liveness check."""
        return PlainTextResponse("Healthy")

    async def ready(self, _request: Request) -> Response:
        """MLflow answers an empty line. 503 while Triton could not serve; asked at most twice a second.

        Triton goes on saying that it is ready when a model's process has died: the images that wait know better.
        """
        if self._ensemble.is_waited_for:
            raise ServerUnavailableError("images wait for Triton, which is away or heals")
        if monotonic() - self._asked_at >= _ASK_AGAIN_AFTER_S:
            self._ready = await self._transport.is_ready(timeout=_PATIENCE_S)
            self._asked_at = monotonic()
        if not self._ready:
            raise ServerUnavailableError("Triton is not ready")
        return PlainTextResponse("\n")

    async def version(self, _request: Request) -> Response:
        """Of this package."""
        return PlainTextResponse(version("vfnet"))

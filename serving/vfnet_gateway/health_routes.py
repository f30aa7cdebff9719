"""Is it alive, is it ready, has it started, what is it: for load balancers, and AzureML's and MLflow's habits."""

from __future__ import annotations

from importlib.metadata import version

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from vfnet_client.exceptions import ServerUnavailableError
from vfnet_gateway.leaving import Leaving
from vfnet_gateway.traffic.deployments import Deployments


class HealthRoutes:
    """Three questions with three meanings, and the older names of two of them.

    `/livez`, and `/`: the gateway runs; where it does not answer, starting it again helps. `/readyz`, `/ping` and
    `/health`: an image that is sent now would be answered; where not, send it elsewhere. `/startupz`: images have been
    answered since it started; until then nothing else need be asked.
    """

    def __init__(self, deployments: Deployments, leaving: Leaving) -> None:
        self._deployments, self._leaving = deployments, leaving
        self._has_started = False

    def routes(self) -> list[Route]:
        """For the application's table."""
        return [
            Route("/", self.alive),
            Route("/livez", self.alive),
            Route("/ping", self.ready),
            Route("/health", self.ready),
            Route("/readyz", self.ready),
            Route("/startupz", self.started),
            Route("/version", self.version),
        ]

    async def alive(self, _request: Request) -> Response:
        """AzureML's liveness check."""
        return PlainTextResponse("Healthy")

    async def ready(self, _request: Request) -> Response:
        """MLflow answers an empty line. 503 while Triton could not serve, and when leaving."""
        if self._leaving.has_begun:
            raise ServerUnavailableError("the gateway is stopping")
        if not await self._deployments.is_ready():
            raise ServerUnavailableError("Triton is not ready")
        return PlainTextResponse("\n")

    async def started(self, _request: Request) -> Response:
        """Once true, it stays so."""
        self._has_started = self._has_started or await self._deployments.is_ready()
        if not self._has_started:
            raise ServerUnavailableError("Triton has not been ready yet")
        return PlainTextResponse("\n")

    async def version(self, _request: Request) -> Response:
        """Of this package."""
        return PlainTextResponse(version("vfnet"))

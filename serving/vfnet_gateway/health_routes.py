"""Is it alive, is it ready, what is it: for load balancers, AzureML's and MLflow's habits."""

from __future__ import annotations

from importlib.metadata import version

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from vfnet_client.exceptions import ServerUnavailableError
from vfnet_gateway.traffic.deployments import Deployments


class HealthRoutes:
    """`/` says that the gateway runs; `/ping` and `/health` that the detector behind it is ready."""

    def __init__(self, deployments: Deployments) -> None:
        self._deployments = deployments

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
        """MLflow answers an empty line. 503 while Triton could not serve."""
        if not await self._deployments.is_ready():
            raise ServerUnavailableError("Triton is not ready")
        return PlainTextResponse("\n")

    async def version(self, _request: Request) -> Response:
        """Of this package."""
        return PlainTextResponse(version("vfnet"))

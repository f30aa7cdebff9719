"""What the gateway says of itself: AzureML's own descriptions (2.0 and 3.0), and an exact one of ours (3.1)."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vfnet_client.exceptions import RequestError

VERSIONS = {"2": "swagger_v2.json", "3": "swagger_v3.json", "3.1": "openapi_v3_1.json"}


@cache
def description(version: str) -> bytes:
    """The document of a version in `VERSIONS`, as JSON."""
    document: dict[str, Any] = orjson.loads(
        files("vfnet_gateway").joinpath("descriptions", VERSIONS[version]).read_bytes()
    )
    return orjson.dumps(document)


async def swagger(request: Request) -> Response:
    """`GET /swagger.json?version=2|3|3.1`, 2 where none is named."""
    version = request.query_params.get("version", "2")
    if version not in VERSIONS:
        raise RequestError(404, f"there is no swagger version like that; supported versions: {', '.join(VERSIONS)}")
    return Response(description(version), media_type="application/json")


def routes() -> list[Route]:
    """For the application's table."""
    return [Route("/swagger.json", swagger)]

"""One function for whoever has the documented JSON and a server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vfnet_client.client import VFNetClient
from vfnet_client.contract import ScoreReply
from vfnet_client.credentials import Credentials
from vfnet_client.transport import DEFAULT_SERVER


def score(
    request: bytes | Mapping[str, Any],
    server: str = DEFAULT_SERVER,
    *,
    key: str | None = None,
    timeout: float | None = 60.0,
    retries: int | None = None,
) -> ScoreReply:
    """Answer one documented scoring request.

    Args:
        request: `{"input_data": {"columns": ["image"], "data": [...]}}`, parsed or as the bytes of its JSON.
        server: Triton (`grpc://host:8001`, `http://host:8000`), or an endpoint (`https://host/score`).
        key: the endpoint's bearer key.
        timeout, retries: see `AsyncVFNetClient`.

    Returns:
        The status and JSON body that an endpoint answers with: 200 and the list; 422 with every good result and what
        is wrong with the other images; another 4xx that says what is wrong with the request. `results()` has the list.

    Raises:
        AccessDeniedError, ServerBusyError, ServerUnavailableError, DeadlineExceededError, InferenceError: the
            request is not at fault.
    """
    with VFNetClient(server, timeout=timeout, retries=retries, credentials=Credentials(key)) as client:
        return client.score(request)

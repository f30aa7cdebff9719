"""Requests to a server over HTTP, and what goes wrong on the way in our own words."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from vfnet_client.credentials import Credentials
from vfnet_client.exceptions import InferenceError
from vfnet_client.safe_text import printable_line
from vfnet_client.server_errors import deadline_exceeded, unavailable

_MOST_ANSWER = 256 << 20
"""Bytes. Of `/score` it holds all images of a request, each of some ten thousand."""


class HTTPConnection:
    """Pooled connections to one server, straight and past any proxy of the environment, as over gRPC.

    Args:
        server: its address, for messages.
        secure: whether the credentials' authorities and certificate are needed.
    """

    def __init__(self, server: str, credentials: Credentials, *, secure: bool) -> None:
        self._server = server
        self._client = httpx.AsyncClient(
            headers={"accept-encoding": "identity", **credentials.request_headers()},
            verify=credentials.ssl_context() if secure else False,
            trust_env=False,
            timeout=None,  # each request brings its own
            limits=httpx.Limits(max_connections=None),  # the window of the caller is the limit
        )

    async def request(
        self,
        method: str,
        url: str,
        *,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None,
    ) -> httpx.Response:
        """An answer of any status.

        Raises:
            ServerUnavailableError: no connection, or it was lost before the answer was there.
            DeadlineExceededError: `timeout` seconds were not enough.
            InferenceError: what answers does not speak HTTP, compresses, or answers without end.
        """
        try:
            async with asyncio.timeout(timeout):
                async with self._client.stream(method, url, content=content, headers=headers) as answer:
                    return await self._read(answer)
        except TimeoutError as error:
            raise deadline_exceeded(self._server, timeout) from error
        except (httpx.NetworkError, httpx.RemoteProtocolError, OSError) as error:  # OSError: a TLS alert while reading
            raise unavailable(self._server, str(error) or type(error).__name__) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            words = printable_line(str(error), 200)
            raise InferenceError(f"{self._server} does not answer like a server: {words}") from error

    async def _read(self, answer: httpx.Response) -> httpx.Response:
        """The answer with its body as it was sent: compressed, a few bytes could become gigabytes."""
        encoding = answer.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            raise InferenceError(f"{self._server} compresses its answer ({encoding[:40]!r}) although asked not to")
        body = bytearray()
        async for chunk in answer.aiter_raw():
            body += chunk
            if len(body) > _MOST_ANSWER:
                raise InferenceError(f"the answer of {self._server} is larger than {_MOST_ANSWER >> 20} MiB")
        return httpx.Response(
            answer.status_code,
            headers=answer.headers,
            content=bytes(body),
            extensions={"reason_phrase": answer.reason_phrase.encode("ascii", "replace")},
            request=answer.request,
        )

    async def close(self) -> None:
        """Give the connections back."""
        await self._client.aclose()


def retry_after(answer: httpx.Response) -> float | None:
    """The seconds that an answer's Retry-After asks for, which may be a date."""
    value = answer.headers.get("retry-after", "").strip()
    if value.isdecimal() and len(value) < 10:
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):  # TypeError: a date without a zone
        return None

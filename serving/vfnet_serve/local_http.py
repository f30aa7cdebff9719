"""HTTP to servers of this machine, which no proxy that the environment names can reach."""

from __future__ import annotations

import urllib.request
from collections.abc import Mapping

_STRAIGHT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def fetch(
    url: str, body: bytes | None = None, *, timeout: float = 30, headers: Mapping[str, str] | None = None
) -> bytes:
    """GET, or POST `body`; `timeout` in seconds.

    Raises:
        OSError: no answer; urllib.error.HTTPError, which is one: an answer that is not a success.
    """
    request = urllib.request.Request(url, body, dict(headers or {}))
    with _STRAIGHT.open(request, timeout=timeout) as answer:
        content: bytes = answer.read()
        return content

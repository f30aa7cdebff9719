"""The proxies that an environment names: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, in either case."""

from __future__ import annotations

import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

import httpcore

from vfnet_client.exceptions import InvalidImageError


@dataclass(frozen=True)
class Proxies:
    """Which URLs go by which proxy; none by default."""

    by_scheme: Mapping[str, str] = field(default_factory=dict)
    """A proxy's URL by `http`, `https` and `all`."""

    @classmethod
    def of_the_environment(cls) -> Proxies:
        """As it is now; NO_PROXY as it is when a URL is asked about."""
        return cls(urllib.request.getproxies())

    def of(self, scheme: str, host: str, port: int | None) -> str | None:
        """The proxy's URL; None where there is none, or NO_PROXY names the host."""
        proxy = self.by_scheme.get(scheme) or self.by_scheme.get("all")
        if not proxy:
            return None
        place = host if port is None else f"{host}:{port}"
        return None if urllib.request.proxy_bypass(place) else proxy


def http_proxy(url: str) -> httpcore.Proxy:
    """httpcore's words for a proxy's URL.

    Raises:
        InvalidImageError: it is none that speaks HTTP.
    """
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"it speaks {parts.scheme}")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        auth = None if parts.username is None else (unquote(parts.username), unquote(parts.password or ""))
        return httpcore.Proxy(f"{parts.scheme}://{host}:{port}", auth=auth)
    except ValueError as error:
        raise InvalidImageError(
            f"images cannot be fetched by the proxy that this environment names ({error}): "
            "name one that speaks HTTP, or put the image's host into NO_PROXY"
        ) from error

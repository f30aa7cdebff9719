"""Images by URL, fetched for strangers: a server's own network must not be reachable through it.

The same fetcher serves a person's own command line, which may reach whatever that person can; sizes, encodings and
times are bounded alike.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic

import httpcore
import httpx

from vfnet_client.exceptions import InvalidImageError
from vfnet_client.url_images.address_policy import AddressPolicy
from vfnet_client.url_images.connections import (
    AddressRefusedError,
    CheckedConnections,
    NameNotFoundError,
    Proxies,
    Resolver,
    SystemResolver,
    http_proxy,
)

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_UNSPECIFIC_TYPES = frozenset({"", "application/octet-stream", "binary/octet-stream", "application/x-download"})
"""What stores of files answer for an image whose kind nobody told them. The decoder judges the bytes."""
_ASK_AGAIN = frozenset({408, 425, 429})
_FREE_PIECES, _LEAST_PIECE = 1000, 64
"""So many pieces an image may come in; beyond them, a piece must have so many bytes on average."""
_YIELD_EVERY = 16
_PORTS = range(1, 2**16)
_MAX_HOST = 253
_MOST_DIGITS = 18
"""Of a length that is worth reading."""


@dataclass(frozen=True)
class FetchLimits:
    """How far the fetcher goes. At most `max_bytes * max_connections` bytes are held at once."""

    max_bytes: int = 20 * 2**20
    connect_timeout: float = 5.0
    """Seconds to resolve the name and connect, for each hop."""
    total_timeout: float = 30.0
    """Seconds for the whole image, with all redirects."""
    min_rate: int = 4 << 10
    """Bytes a second, over every `rate_window`, that an image has to arrive with."""
    rate_window: float = 5.0
    """Seconds."""
    max_redirects: int = 5
    max_connections: int = 32
    keepalive_expiry: float = 15.0
    """Seconds that an idle connection is kept, and with it the address that was checked."""


class FetchFailedError(InvalidImageError):
    """No image came this time: no connection, no answer in time, or a server that says that it is at fault."""


class URLImageFetcher:
    """Fetches images from public hosts, and from those that the operator allows; to be used by one event loop.

    It speaks httpcore, the engine of httpx, directly: cookies, proxies from the environment, credentials from a
    netrc file, transparent decompression and redirects whose bodies are read whole are not there to be switched off.

    Args:
        policy: which addresses may be connected to, at every hop; by default public ones only.
        limits: sizes and times.
        resolver: how names become addresses; by default the operating system's.
        ssl_context: whose certificates to trust; by default what SSL_CERT_FILE or SSL_CERT_DIR name, else certifi's.
        own_urls: the URLs are those of the person whose command this is. They may carry a user name and password, which
            their own host alone is sent, go through the proxies of the environment, and say any media type: whether it
            is an image, the decoder judges.
        user_agent: what hosts are told.
    """

    def __init__(
        self,
        policy: AddressPolicy | None = None,
        limits: FetchLimits | None = None,
        resolver: Resolver | None = None,
        ssl_context: ssl.SSLContext | None = None,
        *,
        own_urls: bool = False,
        user_agent: str = "vfnet-gateway",
    ) -> None:
        self._limits = limits or FetchLimits()
        self._resolver = resolver or SystemResolver()
        self._own_urls, self._user_agent = own_urls, user_agent
        self._proxies = Proxies.of_the_environment() if own_urls else Proxies()
        self._pools: dict[str | None, httpcore.AsyncConnectionPool] = {}
        self._ssl_context = ssl_context or httpx.create_ssl_context()
        self._network = CheckedConnections(policy or AddressPolicy(), self._resolver)

    async def fetch(self, url: str) -> bytes:
        """The bytes of the image at a URL, as they were sent.

        Raises:
            InvalidImageError: whose sentence says what: not a public address, name not found, no connection, not a
                2xx, not an image, too large, too late, too many redirects, broken off, compressed, no URL at all.
        """
        try:
            async with asyncio.timeout(self._limits.total_timeout):
                return await self._follow(_parse(url, may_have_user=self._own_urls))
        except TimeoutError:
            raise FetchFailedError(
                f"the image did not arrive from its URL within {self._limits.total_timeout:g} s"
            ) from None

    async def close(self) -> None:
        """Give connections and threads back."""
        pools, self._pools = self._pools, {}
        for pool in pools.values():
            await pool.aclose()
        await self._resolver.close()

    async def _follow(self, url: httpx.URL) -> bytes:
        trusted, authorization = _origin(url), _basic_authorization(url)
        for _ in range(self._limits.max_redirects + 1):
            async with self._answer(url, authorization if _origin(url) == trusted else []) as answer:
                if answer.status not in _REDIRECTS:
                    return await self._image(answer, url.host)
                url = _target(answer, url)
        raise InvalidImageError(f"the URL redirects more than {self._limits.max_redirects} times")

    @asynccontextmanager
    async def _answer(self, url: httpx.URL, authorization: list[tuple[str, str]]) -> AsyncIterator[httpcore.Response]:
        """An answer whose body is still to come, with the network's errors told in the caller's terms."""
        host = url.host
        try:
            async with self._pool(url).stream(
                "GET",
                httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                headers=[
                    ("Host", url.netloc),
                    ("User-Agent", self._user_agent),
                    *authorization,
                    ("Accept", "image/*, application/octet-stream"),
                    ("Accept-Encoding", "identity"),
                ],
                extensions={"timeout": {"connect": self._limits.connect_timeout}},
            ) as answer:
                yield answer
        except AddressRefusedError as error:
            raise InvalidImageError(f"images may come from public hosts only, and {host} is not: {error}") from error
        except NameNotFoundError as error:
            raise InvalidImageError(f"there is no host named {host}") from error
        except httpcore.ConnectTimeout as error:
            seconds = f"{self._limits.connect_timeout:g} s"
            raise FetchFailedError(f"no connection to {host} within {seconds}") from error
        except httpcore.ConnectError as error:
            raise FetchFailedError(_connection_failure(host, error)) from error
        except httpcore.ProxyError as error:
            raise FetchFailedError(f"the proxy of this environment does not lead to {host}: {error}") from error
        except (httpcore.ProtocolError, httpcore.NetworkError, OSError) as error:
            raise FetchFailedError(f"{host} broke off its answer, or does not speak HTTP") from error

    def _pool(self, url: httpx.URL) -> httpcore.AsyncConnectionPool:
        """Connections to where the URL leads: straight, or by a proxy."""
        proxy = self._proxies.of(url.scheme, url.host, url.port)
        if proxy not in self._pools:
            self._pools[proxy] = httpcore.AsyncConnectionPool(
                ssl_context=self._ssl_context,
                proxy=None if proxy is None else http_proxy(proxy),
                max_connections=self._limits.max_connections,
                keepalive_expiry=self._limits.keepalive_expiry,
                network_backend=self._network,
            )
        return self._pools[proxy]

    async def _image(self, answer: httpcore.Response, host: str) -> bytes:
        """The body of a final answer, if it is an image as far as its headers say."""
        headers = httpx.Headers(answer.headers)
        if not 200 <= answer.status < 300:
            again = answer.status >= 500 or answer.status in _ASK_AGAIN
            raise (FetchFailedError if again else InvalidImageError)(f"{host} answered with status {answer.status}")
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        is_named = media_type.startswith("image/") or media_type in _UNSPECIFIC_TYPES
        if not is_named and not self._own_urls:
            raise InvalidImageError(f"{host} sent {media_type[:60]!r}, which is not an image")
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            raise InvalidImageError(f"{host} compresses the image ({encoding[:60]!r}) although asked not to")
        length = headers.get("content-length", "")
        if length.isdecimal() and (len(length) > _MOST_DIGITS or int(length) > self._limits.max_bytes):
            raise self._too_large(host)
        body = bytearray()
        pieces, since, before = 0, monotonic(), 0
        async for chunk in answer.aiter_stream():
            body += chunk
            if len(body) > self._limits.max_bytes:
                raise self._too_large(host)
            pieces += 1
            if pieces % _YIELD_EVERY == 0:  # pieces that are there already come without anything being waited for
                await asyncio.sleep(0)
            if pieces > _FREE_PIECES and len(body) < _LEAST_PIECE * pieces:
                raise InvalidImageError(f"{host} sends the image in pieces of a few bytes")
            if (elapsed := monotonic() - since) >= self._limits.rate_window:
                if len(body) - before < self._limits.min_rate * elapsed:
                    raise FetchFailedError(f"{host} sends the image too slowly")
                since, before = monotonic(), len(body)
        if not body:
            raise InvalidImageError(f"{host} sent nothing (0 bytes)")
        return bytes(body)

    def _too_large(self, host: str) -> InvalidImageError:
        return InvalidImageError(f"the image from {host} is larger than {self._limits.max_bytes / 2**20:.3g} MiB")


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _basic_authorization(url: httpx.URL) -> list[tuple[str, str]]:
    """The header of a URL that carries a user name and password."""
    if not url.userinfo:
        return []
    return [("Authorization", "Basic " + base64.b64encode(f"{url.username}:{url.password}".encode()).decode())]


def _parse(url: str, base: httpx.URL | None = None, *, may_have_user: bool = False) -> httpx.URL:
    """An absolute URL that could be fetched; `base` is the one that redirects to it.

    Raises:
        InvalidImageError: it could not.
    """
    whose = "the URL" if base is None else "the URL redirects to one that"
    try:
        parsed = httpx.URL(url) if base is None else base.join(url)
        host = parsed.host  # not before here does httpx decode an international name
    except (httpx.InvalidURL, ValueError) as error:
        raise InvalidImageError(f"{whose} is not valid: {error}") from error
    if parsed.scheme not in ("http", "https"):
        raise InvalidImageError(f"{whose} is not http or https")
    if parsed.userinfo and not may_have_user:
        raise InvalidImageError(f"{whose} carries a user name or password, which is not accepted")
    if "%" in host and ":" not in host:  # how httpx keeps what no name has, such as a space
        raise InvalidImageError(f"{whose} is not valid: there is no such name of a host")
    if not 0 < len(host) <= _MAX_HOST or (parsed.port is not None and parsed.port not in _PORTS):
        raise InvalidImageError(f"{whose} has no host, or an impossible host or port")
    return parsed


def _target(answer: httpcore.Response, url: httpx.URL) -> httpx.URL:
    location = httpx.Headers(answer.headers).get("location")
    if location is None:
        raise InvalidImageError(f"{url.host} answered with status {answer.status} and no Location")
    return _parse(location, base=url)


def _connection_failure(host: str, error: Exception) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"the certificate of {host} is not trusted: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return f"{host} does not speak TLS there"
        cause = cause.__cause__ or cause.__context__
    return f"no connection to {host}"

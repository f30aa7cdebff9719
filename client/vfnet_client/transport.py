"""One inference over gRPC, HTTP or a /score endpoint: one small interface, one set of errors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol
from urllib.parse import SplitResult, urlsplit

from vfnet_client.credentials import Credentials
from vfnet_client.detection_options import NO_OPTIONS, DetectionOptions
from vfnet_client.model_names import MODEL

DEFAULT_SERVER = "grpc://127.0.0.1:8001"
DNS = "dns"
"""The scheme of a name that stands for several servers."""
DEFAULT_PORTS = {DNS: 8001, "grpc": 8001, "grpcs": 443, "http": 8000, "https": 443}


class Transport(Protocol):
    """What a client needs of a protocol. To be used by one event loop."""

    async def infer(
        self,
        image: bytes,
        *,
        options: DetectionOptions = NO_OPTIONS,
        outputs: Sequence[str] = ("DETECTIONS",),
        timeout: float | None = None,
        priority: int = 0,
    ) -> dict[str, Any]:
        """Run the ensemble on one encoded image.

        Args:
            options: what is wanted otherwise than the model was built.
            outputs: which of `DETECTIONS` (object [1], bytes of JSON), `BOXES` (float32 [n, 4], x1 y1 x2 y2 in
                stored pixels), `SCORES` (float32 [n]) and `LABELS` (int32 [n]) to send back.
            timeout: seconds for the answer to arrive; None waits forever.
            priority: of Triton's levels, 1 the first served; 0 leaves it to the model. An endpoint has none.

        Returns:
            NumPy arrays by output name.

        Raises:
            VFNetClientError: one of the subclasses, by what went wrong; `InvalidOptionsError` for the options.
        """
        ...

    async def is_ready(self, *, timeout: float | None = None) -> bool:
        """Whether the server says that it could serve the ensemble. False also when it cannot be reached."""
        ...

    async def close(self) -> None:
        """Give the connections back."""
        ...


def parse_server_url(url: str) -> SplitResult:
    """`grpc://host:port`, `grpcs://`, `http://` or `https://`; the port may be left out.

    `http(s)://host:port/score` is a /score endpoint, whose usual ports are those of the web. `dns:///host:port` is gRPC
    at every address of a host's name.

    Raises:
        ValueError: it is none of these.
    """
    is_name = url.startswith(f"{DNS}:///")  # as gRPC writes it, with no name server to ask
    try:
        parts = urlsplit(f"{DNS}://{url.removeprefix(f'{DNS}:///')}" if is_name else url)
        given_port = parts.port
    except ValueError:  # a port that is no number from 0 to 65535, or a bracket too few
        parts, given_port = SplitResult("", "", "", "", ""), None
    is_known = parts.scheme in DEFAULT_PORTS and (parts.scheme == DNS) == is_name
    if not is_known or not parts.hostname or parts.username is not None or (is_name and parts.path):
        raise ValueError(
            f"server URL {url!r} should read grpc://host:port, grpcs://, http:// or https://, "
            "http(s)://host/score for an endpoint, or dns:///name:port for all addresses of a name"
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    path = "" if parts.scheme.startswith(("grpc", DNS)) else parts.path.rstrip("/")
    port = given_port or (80 if parts.scheme == "http" and path.endswith("/score") else DEFAULT_PORTS[parts.scheme])
    return SplitResult(parts.scheme, f"{host}:{port}", path, "", "")


def server_urls(server: str | Sequence[str]) -> tuple[str, ...]:
    """One server or several, as several."""
    return (server,) if isinstance(server, str) else tuple(server)


def is_score_endpoint(server: SplitResult) -> bool:
    """Whether this is where the documented JSON is posted, and not Triton itself."""
    return server.scheme.startswith("http") and server.path.endswith("/score")


def open_transport(
    url: str | Sequence[str], credentials: Credentials | None = None, *, model: str | None = None
) -> Transport:
    """A transport to the server at this URL; to be called inside the event loop that will use it.

    Several URLs, or one for the addresses of a name, make it a `vfnet_client.servers.pool.ServerPool`.

    With TLS (`grpcs`, `https`) the authorities of `credentials` are trusted, else those in the file SSL_CERT_FILE
    names, else the usual ones.

    Args:
        model: which of the server's to ask; None: `MODEL`, of an endpoint the one that it chooses.

    Raises:
        OSError: a file of the credentials cannot be read.
    """
    if not isinstance(url, str) or parse_server_url(url).scheme == DNS:
        from vfnet_client.servers.pool import ServerPool

        return ServerPool(server_urls(url), partial(open_transport, credentials=credentials, model=model))
    server, credentials = parse_server_url(url), credentials or Credentials()
    if server.scheme.startswith("grpc"):
        from vfnet_client.grpc_transport import GRPCTransport

        return GRPCTransport(server, credentials, model or MODEL)
    if is_score_endpoint(server):
        from vfnet_client.score_endpoint import ScoreEndpoint

        return ScoreEndpoint(server, credentials, model)
    from vfnet_client.http_transport import HTTPTransport

    return HTTPTransport(server, credentials, model or MODEL)

"""What an operator chooses, with defaults that suit one machine."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from vfnet_client.transport import DEFAULT_SERVER, MODEL
from vfnet_client.url_images.address_policy import AddressPolicy
from vfnet_client.url_images.url_images import FetchLimits
from vfnet_gateway.host_policy import HostPolicy

DEFAULT_PORT = 5001
_MESSAGE_HEAD_BYTES = 64 << 10


@dataclass(frozen=True)
class GatewaySettings:
    """Times in seconds, sizes in bytes."""

    server: str = DEFAULT_SERVER
    """Triton over gRPC: `grpc://host:port` or `grpcs://`."""
    models: tuple[str, ...] = (MODEL,)
    """The models that KServe v2's callers may ask for, each with the interface of `vfnet` and places of its own in the
    ensemble; /score asks the first."""
    timeout: float = 60.0
    """From the end of a request's body to its answer; what is left of it goes to Triton with every image."""

    max_body_bytes: int = 64 << 20
    """A larger body is refused with 413."""
    max_image_bytes: int = 32 << 20
    """A larger encoded image is refused, of KServe v2's requests."""
    max_images: int = 1000
    """A request with more images is refused with 413, and one with very many values or deep nesting before it is
    parsed."""
    max_held_bytes: int = 256 << 20
    """All that has arrived of bodies being read or worked on. Beyond it only the oldest body is read on, until there
    is room: no more than one body exceeds it."""
    min_body_rate: int = 8 << 10
    """Bytes a second, over every `body_idle_timeout`, that a body has to arrive with; eight times as many while others
    wait for room."""
    body_idle_timeout: float = 10.0
    """A body of which nothing, or less than `min_body_rate` wants, arrives for so long is given up with 408."""
    body_timeout: float = 120.0
    """The whole body has to arrive within this."""
    header_timeout: float = 10.0
    """The head of a request has to arrive within this."""
    write_timeout: float = 30.0
    """A client that takes nothing of its answer for so long is hung up on."""
    max_connections: int = 4096
    """Connections at once; one more is hung up on. Fewer where the process may not open as many files."""
    max_peer_connections: int = 2048
    """Of them from one address."""

    max_in_flight: int = 16
    """Images in the ensemble at once, of all requests. Those that Triton has no room for wait for its answers to the
    others. A quarter of them is kept from requests of low priority."""
    request_window: int = 16
    """Images of one request in the ensemble at once."""
    max_waiting: int = 64
    """Requests of each priority waiting for their first place in the ensemble; one more is refused with 429."""
    queue_timeout: float = 10.0
    """How long a request may wait for room for its body or its first image before it is refused with 429."""

    url_policy: AddressPolicy = field(default_factory=AddressPolicy)
    """Where images by URL may come from."""
    url_limits: FetchLimits = field(default_factory=FetchLimits)

    keys_file: Path | None = None
    """Bearer keys, one a line; read again when it changes."""
    keys: tuple[str, ...] = ()
    """More bearer keys."""
    host_policy: HostPolicy = field(default_factory=HostPolicy)
    """By which names it may be asked, and from whose pages, where there are no keys."""
    protect_metrics: bool = False
    """Whether /metrics needs a key too."""

    manifest: Path | None = None
    """`vfnet_build.json` of the served repository, for /ui/info."""

    @property
    def max_message_bytes(self) -> int:
        """Of a gRPC message: an image and what is said of it."""
        return min(self.max_image_bytes + _MESSAGE_HEAD_BYTES, self.max_body_bytes)

    def __post_init__(self) -> None:
        if not self.server.startswith(("grpc://", "grpcs://")):
            raise ValueError(f"the gateway speaks gRPC to Triton: {self.server!r} should read grpc://host:port")
        if not self.models or len(set(self.models)) < len(self.models):
            raise ValueError("the models to serve are named once each, and there is at least one")
        if self.max_held_bytes < self.max_body_bytes:
            raise ValueError(
                f"one body may have {self.max_body_bytes} bytes, but all together only {self.max_held_bytes}"
            )
        if min(self.max_images, self.max_connections, self.max_peer_connections) < 1:
            raise ValueError("at least one image and one connection must be allowed")
        if min(self.max_in_flight, self.request_window) < 1:
            raise ValueError("at least one image must be allowed in flight")

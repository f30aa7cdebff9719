"""What an operator chooses, with defaults that suit one machine."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from vfnet_capture.settings import CaptureSettings
from vfnet_client.byte_sizes import shown_bytes
from vfnet_client.commands.options import fraction
from vfnet_client.commands.settings_options import Bytes, Count, File, Seconds
from vfnet_client.model_names import MODEL, check_ensemble_name, model_of
from vfnet_client.transport import DEFAULT_SERVER, DNS, parse_server_url, server_urls
from vfnet_client.url_images.address_policy import AddressPolicy
from vfnet_client.url_images.url_images import FetchLimits
from vfnet_gateway.host_policy import HostPolicy
from vfnet_model.manifest import MANIFEST, file_of

DEFAULT_PORT = 5001
_MESSAGE_HEAD_BYTES = 64 << 10


@dataclass(frozen=True)
class GatewaySettings:
    """Times in seconds, sizes in bytes. The options of `vfnet gateway` are made of this."""

    server: str | tuple[str, ...] = DEFAULT_SERVER
    """Triton over gRPC: `grpc://host:port`, `grpcs://`, or `dns:///name:port` for all addresses of a name.

    Of several, each image goes to the one that has least to do."""
    models: tuple[str, ...] = (MODEL,)
    """The models that KServe v2's callers may ask for, each with the interface of `vfnet` and places of its own in the
    ensemble; /score asks the first, unless a request names another in AzureML's `azureml-model-deployment`."""
    timeout: Seconds = 60.0
    """For the answer to a request, from the end of its body.

    What is left of it goes to Triton with every image."""

    max_body_bytes: Bytes = 64 << 20
    """Largest body accepted.

    A larger one is refused with 413."""
    max_image_bytes: Bytes = 32 << 20
    """Largest encoded image in a KServe v2 request."""
    max_images: Count = 1000
    """Images of one request.

    A request with more is refused with 413, and one with very many values or deep nesting before it is parsed."""
    max_tiles: Count = 64
    """Tiles of one image.

    An image that would have more, by the `params` of its request, is one that cannot be read."""
    max_held_bytes: Bytes = 256 << 20
    """All bodies read or worked on together; others are left unread until there is room.

    Beyond it only the oldest body is read on: no more than one body exceeds it."""
    min_body_rate: Bytes = 8 << 10
    """Bytes a second that a body has to arrive with; eight times as many while others wait for room.

    Measured over every `body_idle_timeout`."""
    body_idle_timeout: Seconds = 10.0
    """Without a byte after which a body is given up.

    With 408, and likewise one of which less arrives for so long than `min_body_rate` wants."""
    body_timeout: Seconds = 120.0
    """For a whole body to arrive."""
    header_timeout: Seconds = 10.0
    """For the head of a request to arrive."""
    write_timeout: Seconds = 30.0
    """Without progress after which a client that does not read its answer is hung up on."""
    max_connections: Count = 4096
    """Connections at once.

    One more is hung up on. Fewer where the process may not open as many files."""
    max_peer_connections: Count = 2048
    """Connections at once from one address."""

    max_in_flight: Count = 16
    """Images in the ensemble of each server at once.

    Of all requests. Those that Triton has no room for wait for its answers to the others. A quarter of them is kept
    from requests of low priority."""
    request_window: Count = 16
    """Images of one request in the ensemble of each server at once."""
    max_waiting: Count = 64
    """Requests of each priority waiting for a first place in the ensemble; one more is refused with 429."""
    queue_timeout: Seconds = 10.0
    """A request waits for room before it is refused with 429.

    For room for its body, or for its first image."""

    traffic_file: File | None = None
    """How requests are shared out between deployments, as `vfnet traffic` writes it.

    Read again when it changes; while it is not there, all requests go to the model that they ask for."""
    mirror_room: Count = 4
    """Images in the ensembles from which on no copies are sent.

    Copies are counted, too."""

    drift_reference: File | None = None
    """What images and detections were like, as `vfnet drift --write-reference` writes it: how far those of now are from
    that becomes metrics."""
    drift_window: Count = 1000
    """The latest images that are compared with `drift_reference`."""

    url_policy: AddressPolicy = field(default_factory=AddressPolicy)
    """Where images by URL may come from."""
    url_limits: FetchLimits = field(default_factory=FetchLimits)

    capture: CaptureSettings = field(default_factory=CaptureSettings)
    """Which answered images are kept, and where."""

    keys_file: File | None = None
    """Bearer keys, one a line, read again when it changes; more in $VFNET_GATEWAY_KEYS, separated by commas."""
    keys: tuple[str, ...] = ()
    """More bearer keys. No option: other users see those."""
    review_keys_file: File | None = None
    """Keys of those who may correct captured images at /review, one a line; more in $VFNET_REVIEW_KEYS.

    Without any there is no such page."""
    review_keys: tuple[str, ...] = ()
    """More of them. No option."""
    host_policy: HostPolicy = field(default_factory=HostPolicy)
    """By which names it may be asked, and from whose pages, where there are no keys."""
    protect_metrics: bool = False
    """Ask for a key at /metrics too."""

    otlp: Annotated[str, "URL"] | None = None
    """Export a trace of each request that detects to this OpenTelemetry collector, as OTLP over HTTP.

    As OTEL_EXPORTER_OTLP_ENDPOINT; OTEL_SDK_DISABLED=true turns both off."""
    trace_share: Annotated[float, fraction, "SHARE"] | None = None
    """Of traces that no caller began, those that are kept (default: all, or as OTEL_TRACES_SAMPLER says)."""

    manifest: File | None = None
    """The repository's vfnet_build.json, for /ui/info; those of other models are found beside it."""

    def manifest_of(self, model: str) -> Path | None:
        """What a model was built from, so far as it is known here: not where it is a later deployment's."""
        if self.manifest is None or model_of(model) != model:
            return None
        return self.manifest.with_name(file_of(MANIFEST, model)) if model != MODEL else self.manifest

    @property
    def has_review(self) -> bool:
        """Whether people may correct captured images."""
        return self.review_keys_file is not None or bool(self.review_keys)

    @property
    def max_message_bytes(self) -> int:
        """Of a gRPC message: an image and what is said of it."""
        return min(self.max_image_bytes + _MESSAGE_HEAD_BYTES, self.max_body_bytes)

    def __post_init__(self) -> None:
        for server in server_urls(self.server):
            if not server.startswith(("grpc://", "grpcs://", f"{DNS}:///")):
                raise ValueError(
                    f"the gateway speaks gRPC to Triton: {server!r} should read grpc://host:port, or dns:///name:port "
                    "for all addresses of a name"
                )
            parse_server_url(server)
        if not server_urls(self.server):
            raise ValueError("at least one server must be named")
        if not self.models or len(set(self.models)) < len(self.models):
            raise ValueError("the models to serve are named once each, and there is at least one")
        for model in self.models:
            check_ensemble_name(model)
        if self.has_review and self.capture.store is None:
            raise ValueError("there are keys for the review page and no --capture: it shows captured images")
        if self.max_held_bytes < self.max_body_bytes:
            raise ValueError(
                f"one body may have {shown_bytes(self.max_body_bytes)}, but all together only "
                f"{shown_bytes(self.max_held_bytes)}"
            )
        if min(self.max_images, self.max_connections, self.max_peer_connections) < 1:
            raise ValueError("at least one image and one connection must be allowed")
        if min(self.max_in_flight, self.request_window) < 1:
            raise ValueError("at least one image must be allowed in flight")

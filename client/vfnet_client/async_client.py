"""The client for an event loop: images or documented requests in, typed detections or documented answers out."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from vfnet_client import contract
from vfnet_client.contract import ImageURL, ScoreReply, ScoreRequest
from vfnet_client.credentials import Credentials
from vfnet_client.detection_options import NO_OPTIONS, DetectionOptions
from vfnet_client.detections import Detections, ImageResult, typed
from vfnet_client.exceptions import (
    AccessDeniedError,
    DeadlineExceededError,
    InvalidImageError,
    InvalidOptionsError,
    RequestError,
    ServerBusyError,
    ServerUnavailableError,
    VFNetClientError,
    WrongServerError,
)
from vfnet_client.fair_retry import FairRetry
from vfnet_client.images import ImageLike, ImageLoader
from vfnet_client.model_names import check_ensemble_name
from vfnet_client.retry_policy import Deadline, RetryPolicy, proof_picture
from vfnet_client.server_errors import deadline_exceeded
from vfnet_client.servers.membership import Told
from vfnet_client.servers.pool import ServerPool
from vfnet_client.tiled_detection import (
    OUTPUTS,
    Encode,
    ServerTerms,
    SuppressionTerms,
    TiledAnswer,
    detect_tiled,
)
from vfnet_client.trace_context import client_span
from vfnet_client.transport import (
    DEFAULT_SERVER,
    Transport,
    is_score_endpoint,
    open_transport,
    parse_server_url,
    server_urls,
)
from vfnet_tiling.parameters import recorded_tiling

if TYPE_CHECKING:
    from vfnet_client.score_endpoint import ScoreEndpoint
    from vfnet_tiling.tiling import Tiling

T = TypeVar("T")
Fetch = Callable[[str], Awaitable[bytes]]
READ_AHEAD = 2
"""Times `concurrency`, images asked for or answered, and not yet taken: keeps all slots busy behind a slow image."""

_MOMENT_S = 0.1
_TILED_AT_ONCE = 4
"""Images of which pixels are in memory; each has several tiles in flight."""


@dataclass(frozen=True)
class _Call:
    """What the images of one `detect_many` or `score` share."""

    options: DetectionOptions
    slots: asyncio.Semaphore
    """Images read and in flight at once."""
    fair_retry: FairRetry
    tiling: Tiling | None
    is_lost: asyncio.Event
    """Whether an image of the call has waited for the server in vain: the others need not wait as long each."""


class AsyncVFNetClient:
    """A connection to a served VFNet, for one event loop.

    Args:
        server: Triton at `grpc://host:port`, `grpcs://`, `http://` or `https://`; or an endpoint, `https://host/score`.
            Several are one: each image goes to the least busy, and to another where that one fails or lags. So does
            `dns:///name:port`, for gRPC at all addresses of a name.
        concurrency: images of one `detect_many` or `score` in flight at once. Calls of `detect` are not counted.
        timeout: seconds for the answer to one image, all tries together; None waits forever.
        retries: how often an image is sent again after a connection was refused or lost, or while the server says
            that it is not ready, with growing, jittered pauses; None: as often as `timeout` allows. An image that was
            in a model's process when it died is sent again twice at most. 0 also means not to wait for a server that
            others keep busy, which is asked again for `timeout` seconds otherwise. What is wrong with an image or a
            request is never tried twice.
        credentials: a bearer key, headers, certificates.
        priority: of every image, in Triton's levels: 1 is served first; 0 leaves it to the model. An endpoint has none.
        on_waiting: is told, in the event loop, of each time that the server stays away and is asked again.
        on_server: is told, in the event loop, of each of several servers that is left out, and when it is back.
        model: the model to ask where the server has several, by its name, or one deployment of it; None: `vfnet`, and
            of an endpoint the one that it chooses itself.

    Raises:
        ValueError: `server` is no URL of a server, or `model` no name.
    """

    def __init__(
        self,
        server: str | Sequence[str] = DEFAULT_SERVER,
        concurrency: int = 16,
        timeout: float | None = 60.0,
        *,
        retries: int | None = None,
        credentials: Credentials | None = None,
        priority: int = 0,
        on_waiting: Callable[[ServerUnavailableError], None] | None = None,
        on_server: Told | None = None,
        model: str | None = None,
    ) -> None:
        urls = server_urls(server)
        if not urls:
            raise ValueError("at least one server must be named")
        parsed = [parse_server_url(url) for url in urls]
        self._is_endpoint = all(map(is_score_endpoint, parsed))
        self._gives_labels = not any(map(is_score_endpoint, parsed))
        if concurrency < 1 or (retries is not None and retries < 0):
            raise ValueError(f"concurrency must be at least 1 and retries 0, got {concurrency} and {retries}")
        self.server, self.concurrency, self.timeout = ", ".join(urls), concurrency, timeout
        self._named, self._on_server = server, on_server
        self.retries, self.credentials, self.priority = retries, credentials, priority
        self.model = None if model is None else check_ensemble_name(model)
        self._loader = ImageLoader()
        self._opened: Transport | None = None
        self._policy = RetryPolicy(self._prove, retries, on_waiting)
        self._fair_retry = self._new_fair_retry()
        """Of all calls of `detect`: those that come later do not overtake one that the server refused."""
        self._parts = asyncio.Semaphore(concurrency)
        """Tiles of all calls of `detect` in flight at once."""
        self._tiled = asyncio.Semaphore(_TILED_AT_ONCE)
        self._terms = ServerTerms(lambda: self._transport().step_parameters("postprocess", timeout=timeout))

    async def detect(
        self,
        image: ImageLike,
        *,
        score_threshold: float | None = None,
        classes: Sequence[str | int] | None = None,
        max_detections: int | None = None,
        nms_iou: float | None = None,
        tiling: Tiling | None = None,
    ) -> Detections:
        """Detect on one image.

        Args:
            image: encoded bytes, a path, an http(s) URL, a PIL image, or uint8 [H, W, 3] in RGB order.
            score_threshold: only boxes that score higher; the model's own threshold stays.
            classes: only boxes of these: a class's name or, where none is called so, its number.
            max_detections: at most so many boxes, of the classes wanted.
            nms_iou: of two boxes of a class that overlap more, the better one stays.
            tiling: also detect in its tiles, `concurrency` of them in flight at once; each may take `timeout`.

        Raises:
            ValueError: an option makes no sense.
            InvalidOptionsError: an option makes no sense to the model; `UnsupportedOptionsError`: it is too old for it.
            InvalidImageError, ServerBusyError, ServerUnavailableError, AccessDeniedError, DeadlineExceededError,
            InferenceError.
        """
        options = DetectionOptions.chosen(
            score_threshold=score_threshold, classes=classes, max_detections=max_detections, nms_iou=nms_iou
        )
        with client_span("vfnet detect"):
            encoded = await self._loader.load(image)
            fair_retry = self._new_fair_retry() if self.retries == 0 else self._fair_retry
            if tiling is not None:
                async with self._tiled:
                    answer = await self._infer_tiled(encoded, tiling, options, fair_retry, self._parts)
                return answer.detections
            return typed(await self._infer(encoded, options, fair_retry, Deadline.after(self.timeout)))

    async def detect_many(
        self,
        images: Iterable[ImageLike],
        *,
        score_threshold: float | None = None,
        classes: Sequence[str | int] | None = None,
        max_detections: int | None = None,
        nms_iou: float | None = None,
        tiling: Tiling | None = None,
    ) -> AsyncIterator[ImageResult]:
        """Detect on many images, `concurrency` of them at once; results come in the order of `images`.

        Nothing is raised for an image: its result says what went wrong. `images` is read as answers are taken. An
        image that finds the server full of others of the same call waits for one of those, which costs no time.

        Args:
            score_threshold, classes, max_detections, nms_iou, tiling: see `detect`; with tiles, `concurrency` counts
                those.

        Raises:
            ValueError: an option makes no sense.
        """
        options = DetectionOptions.chosen(
            score_threshold=score_threshold, classes=classes, max_detections=max_detections, nms_iou=nms_iou
        )
        detection, pending = self.detection_of_many(options, tiling), deque[asyncio.Task[ImageResult]]()
        try:
            for position, image in enumerate(images):
                pending.append(asyncio.create_task(detection(position, image)))
                if len(pending) >= READ_AHEAD * self.concurrency:
                    yield await pending.popleft()
            while pending:
                yield await pending.popleft()
        finally:
            for task in pending:
                task.cancel()

    def detection_of_many(
        self, options: DetectionOptions = NO_OPTIONS, tiling: Tiling | None = None
    ) -> Callable[[int, ImageLike], Coroutine[Any, Any, ImageResult]]:
        """How one `detect_many` detects on each of its images: position and image in, a result out."""
        return partial(self._result, self._call(options, tiling))

    async def trained_tiling(self, timeout: float | None = None) -> Tiling | None:
        """The tiles that the model was trained in, as its server tells; for `tiling` of the other methods.

        Args:
            timeout: seconds for the answer to arrive; None: the client's own.

        Returns:
            None where it was trained in none, was built before this was recorded, or the server does not tell: a
            gateway and an endpoint do not.

        Raises:
            ServerBusyError, ServerUnavailableError, AccessDeniedError, DeadlineExceededError.
        """
        try:
            parameters = await self._transport().step_parameters("postprocess", timeout=timeout or self.timeout)
            return recorded_tiling(json.loads(parameters.get("trained_tiling") or "null"))
        except WrongServerError:
            return None
        except (AccessDeniedError, DeadlineExceededError, ServerBusyError, ServerUnavailableError):
            raise
        except (VFNetClientError, ValueError, RecursionError):
            return None

    async def score(self, request: bytes | Mapping[str, Any], *, fetch: Fetch | None = None) -> ScoreReply:
        """Answer a documented scoring request.

        Args:
            request: the body, as bytes or parsed.
            fetch: how to get an image by URL, raising `InvalidImageError`; None fetches from any host. An endpoint
                fetches for itself.

        Returns:
            200 with the list, 422 with what could be read, or another 4xx with what is wrong with the request.

        Raises:
            ServerBusyError, ServerUnavailableError, AccessDeniedError, DeadlineExceededError, InferenceError: the
                request is not at fault; their `status` is what a gateway answers.
        """
        with client_span("vfnet score"):
            return await self._score(request, fetch)

    async def _score(self, request: bytes | Mapping[str, Any], fetch: Fetch | None) -> ScoreReply:
        if self._is_endpoint:
            return await self._post(request if isinstance(request, bytes) else json.dumps(dict(request)).encode())
        try:
            parsed = contract.parse_score_request(request)
        except RequestError as error:
            return ScoreReply(error.status, contract.error_body(error))
        try:
            answers = await self._answers(parsed, fetch or self._loader.fetch)
        except InvalidOptionsError as error:
            return ScoreReply(error.status, contract.error_body(error))
        results = [answer if isinstance(answer, bytes) else None for answer in answers]
        reasons = {i: str(answer) for i, answer in enumerate(answers) if not isinstance(answer, bytes)}
        if reasons:
            return ScoreReply(InvalidImageError.status, contract.partial_failure(results, reasons, parsed.index))
        return ScoreReply(200, contract.score_response(results))

    async def _answers(self, request: ScoreRequest, fetch: Fetch) -> list[bytes | InvalidImageError]:
        call = self._call(request.parameters.options, request.parameters.tiling)

        async def image_of(item: Any) -> bytes:
            found = contract.decode_image_item(item)
            return await fetch(found.url) if isinstance(found, ImageURL) else found

        async def answer(item: Any) -> bytes | InvalidImageError:
            try:
                if call.tiling is not None:
                    async with self._tiled:
                        image = await image_of(item)
                        tiled = await self._infer_tiled(image, call.tiling, call.options, call.fair_retry, call.slots)
                    return json.dumps(tiled.detections.to_json()).encode()
                async with call.slots:
                    return await self._infer(await image_of(item), call.options, call.fair_retry)
            except InvalidImageError as error:
                return error

        tasks = [asyncio.create_task(answer(item)) for item in request.items]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()

    async def is_ready(self) -> bool:
        """Whether the server says that it could serve. Only an inference proves it: see `check`."""
        return await self._transport().is_ready(timeout=self.timeout)

    async def check(self) -> None:
        """Prove with a real inference that the server works, each of several.

        Raises:
            VFNetClientError: of one that does not, in its own words.
        """
        transport = self._transport()
        if isinstance(transport, ServerPool):
            await transport.check()
        else:
            await self.detect(proof_picture())

    async def has_a_server(self, within: float) -> bool:
        """Whether one of several servers gets images, after waiting at most so many seconds for one to come back.

        A single one, given as it is, is only asked whether it is ready.
        """
        transport = self._transport()
        if isinstance(transport, ServerPool):
            return await transport.has_one_in(within)
        return await transport.is_ready(timeout=within)

    async def close(self) -> None:
        """Give the connections back. The client may be used again."""
        opened, self._opened = self._opened, None
        if opened is not None:
            await opened.close()
        await self._loader.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _new_fair_retry(self) -> FairRetry:
        patience = 0.0 if self.retries == 0 else inf if self.timeout is None else self.timeout
        return FairRetry(patience)

    def _call(self, options: DetectionOptions, tiling: Tiling | None) -> _Call:
        slots = asyncio.Semaphore(self.concurrency)
        return _Call(options, slots, self._new_fair_retry(), tiling, asyncio.Event())

    async def _result(self, call: _Call, position: int, image: ImageLike) -> ImageResult:
        encoded = None
        try:
            # Of an image with tiles, each of its parts waits for a slot.
            async with call.slots if call.tiling is None else self._tiled:
                with client_span("vfnet detect", **{"vfnet.image.index": position}):
                    encoded = await self._loader.load(image)
                    answer = await self._found(call, encoded)
            call.is_lost.clear()
            return ImageResult(position, detections=answer.detections, image=encoded, tiles=answer.tiles)
        except VFNetClientError as error:
            if isinstance(error, ServerUnavailableError):
                call.is_lost.set()
            return ImageResult(position, error=error, image=encoded)

    async def _found(self, call: _Call, image: bytes) -> TiledAnswer:
        if call.tiling is not None:
            return await self._infer_tiled(image, call.tiling, call.options, call.fair_retry, call.slots, call.is_lost)
        answer = await self._infer(image, call.options, call.fair_retry, is_known_to_be_away=call.is_lost.is_set())
        return TiledAnswer(typed(answer), tiles=0)

    def _transport(self) -> Transport:
        if self._opened is None:  # not in __init__: it binds itself to the running event loop
            self._opened = open_transport(self._named, self.credentials, model=self.model)
            if isinstance(self._opened, ServerPool):
                self._opened.priority = self.priority
                self._opened.told += [] if self._on_server is None else [self._on_server]
        return self._opened

    async def _infer(
        self,
        image: bytes,
        options: DetectionOptions,
        fair_retry: FairRetry,
        deadline: Deadline | None = None,
        *,
        is_known_to_be_away: bool = False,
    ) -> bytes:
        found = await self._outputs(image, options, fair_retry, deadline, is_known_to_be_away=is_known_to_be_away)
        answer: bytes = found["DETECTIONS"][0]
        return answer

    async def _outputs(
        self,
        image: bytes,
        options: DetectionOptions,
        fair_retry: FairRetry,
        deadline: Deadline | None = None,
        *,
        is_known_to_be_away: bool = False,
        outputs: Sequence[str] = ("DETECTIONS",),
    ) -> dict[str, Any]:
        async def infer(left: float | None) -> dict[str, Any]:
            return await self._transport().infer(
                image, options=options, outputs=outputs, timeout=left, priority=self.priority
            )

        return await self._ask(infer, fair_retry, deadline, is_known_to_be_away=is_known_to_be_away)

    async def _infer_tiled(
        self,
        image: bytes,
        tiling: Tiling,
        options: DetectionOptions,
        fair_retry: FairRetry,
        slots: asyncio.Semaphore,
        is_lost: asyncio.Event | None = None,
    ) -> TiledAnswer:
        """To be called by whoever holds `_tiled`. Each part of the image waits for a slot and then has `timeout`."""
        outputs = OUTPUTS if self._gives_labels else OUTPUTS[:1]

        async def send(encode: Encode, _size: int) -> dict[str, Any]:
            async with slots:
                is_away = is_lost is not None and is_lost.is_set()
                return await self._outputs(
                    await encode(), options, fair_retry, is_known_to_be_away=is_away, outputs=outputs
                )

        async def terms() -> SuppressionTerms:
            return (await self._terms.current()).changed(options)

        return await detect_tiled(image, tiling, send, terms)

    async def _prove(self, timeout: float) -> None:
        await self._transport().infer(proof_picture(), timeout=timeout)

    async def _post(self, body: bytes) -> ScoreReply:
        async def post(left: float | None) -> ScoreReply:
            return await cast("ScoreEndpoint", self._transport()).post(body, timeout=left)

        return await self._ask(post, self._new_fair_retry(), Deadline.after(self.timeout))

    async def _ask(
        self,
        call: Callable[[float | None], Awaitable[T]],
        fair_retry: FairRetry,
        deadline: Deadline | None,
        *,
        is_known_to_be_away: bool = False,
    ) -> T:
        """Await `call(seconds left)`, again where that may help; without a deadline, `timeout` from each turn on."""

        async def in_turn() -> T:
            until = deadline or Deadline.after(self.timeout)
            return await self._policy.ask(call, until, is_known_to_be_away=is_known_to_be_away)

        try:
            left = None if deadline is None else deadline.remaining()
            # A moment more than the policy takes, which knows better what there is to say.
            async with asyncio.timeout(None if left is None else left + _MOMENT_S):
                return await fair_retry.send(in_turn)
        except (DeadlineExceededError, TimeoutError) as error:  # its words are of the last try
            raise deadline_exceeded(self.server, self.timeout) from error

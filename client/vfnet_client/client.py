"""The client for synchronous code; `score` for whoever has the documented JSON and a server."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self, TypeVar

from vfnet_client.async_client import READ_AHEAD, AsyncVFNetClient, Fetch
from vfnet_client.contract import ScoreReply
from vfnet_client.credentials import Credentials
from vfnet_client.detection_options import DetectionOptions
from vfnet_client.detections import Detections, ImageResult
from vfnet_client.exceptions import ServerUnavailableError, VFNetClientError
from vfnet_client.images import ImageLike
from vfnet_client.servers.membership import Told
from vfnet_client.transport import DEFAULT_SERVER
from vfnet_tiling.tiling import Tiling

T = TypeVar("T")


class VFNetClient:
    """`AsyncVFNetClient` for synchronous code: same arguments, same methods, its own event loop on a thread.

    May be shared between threads. Not to be carried over a fork. Close it, or use it as a context manager.
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
        self._client = AsyncVFNetClient(
            server,
            concurrency,
            timeout,
            retries=retries,
            credentials=credentials,
            priority=priority,
            on_waiting=on_waiting,
            on_server=on_server,
            model=model,
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="vfnet-client", daemon=True)
        self._thread.start()
        self._lock, self._is_closed = threading.Lock(), False

    def detect(
        self,
        image: ImageLike,
        *,
        score_threshold: float | None = None,
        classes: Sequence[str | int] | None = None,
        max_detections: int | None = None,
        nms_iou: float | None = None,
        tiling: Tiling | None = None,
    ) -> Detections:
        """See `AsyncVFNetClient.detect`."""
        detection = self._client.detect(
            image,
            score_threshold=score_threshold,
            classes=classes,
            max_detections=max_detections,
            nms_iou=nms_iou,
            tiling=tiling,
        )
        return self._submit(detection).result()

    def detect_many(
        self,
        images: Iterable[ImageLike],
        *,
        score_threshold: float | None = None,
        classes: Sequence[str | int] | None = None,
        max_detections: int | None = None,
        nms_iou: float | None = None,
        tiling: Tiling | None = None,
    ) -> Iterator[ImageResult]:
        """See `AsyncVFNetClient.detect_many`. `images` is read by the calling thread."""
        options = DetectionOptions.chosen(
            score_threshold=score_threshold, classes=classes, max_detections=max_detections, nms_iou=nms_iou
        )
        detection, pending = self._client.detection_of_many(options, tiling), deque[Future[ImageResult]]()
        try:
            for position, image in enumerate(images):
                pending.append(self._submit(detection(position, image)))
                if len(pending) >= READ_AHEAD * self._client.concurrency:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()

    def trained_tiling(self, timeout: float | None = None) -> Tiling | None:
        """See `AsyncVFNetClient.trained_tiling`."""
        return self._submit(self._client.trained_tiling(timeout)).result()

    def score(self, request: bytes | Mapping[str, Any], *, fetch: Fetch | None = None) -> ScoreReply:
        """See `AsyncVFNetClient.score`."""
        return self._submit(self._client.score(request, fetch=fetch)).result()

    def is_ready(self) -> bool:
        """See `AsyncVFNetClient.is_ready`."""
        return self._submit(self._client.is_ready()).result()

    def check(self) -> None:
        """See `AsyncVFNetClient.check`."""
        self._submit(self._client.check()).result()

    def close(self) -> None:
        """Give connections and thread back; what is in flight is cancelled."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
        asyncio.run_coroutine_threadsafe(self._shut_down(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def _shut_down(self) -> None:
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._client.close()
        await self._loop.shutdown_default_executor()

    def _submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        with self._lock:  # what comes before `close` is cancelled by it, and nothing comes after
            if self._is_closed:
                work.close()
                raise VFNetClientError("the client is closed")
            return asyncio.run_coroutine_threadsafe(work, self._loop)


def score(
    request: bytes | Mapping[str, Any],
    server: str | Sequence[str] = DEFAULT_SERVER,
    *,
    key: str | None = None,
    timeout: float | None = 60.0,
    retries: int | None = None,
    model: str | None = None,
) -> ScoreReply:
    """Answer one documented scoring request.

    Args:
        request: `{"input_data": {"columns": ["image"], "data": [...]}}`, parsed or as the bytes of its JSON.
        server: Triton (`grpc://host:8001`, `http://host:8000`), or an endpoint (`https://host/score`), or several.
        key: the endpoint's bearer key.
        timeout, retries, model: see `AsyncVFNetClient`.

    Returns:
        The status and JSON body that an endpoint answers with: 200 and the list; 422 with every good result and what
        is wrong with the other images; another 4xx that says what is wrong with the request. `results()` has the list.

    Raises:
        AccessDeniedError, ServerBusyError, ServerUnavailableError, DeadlineExceededError, InferenceError: the
            request is not at fault.
    """
    with VFNetClient(server, timeout=timeout, retries=retries, credentials=Credentials(key), model=model) as client:
        return client.score(request)

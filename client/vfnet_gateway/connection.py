"""HTTP/1.1 connections that do not wait forever for the head of a request."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol


def timed_protocol(header_timeout: float) -> type[H11Protocol]:
    """uvicorn's protocol, which by itself lets a client take all day over its headers."""

    class TimedProtocol(H11Protocol):
        _patience: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._watch_the_head()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch_the_head()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_watching()
            super().connection_lost(exc)

        def _watch_the_head(self) -> None:
            if self.cycle is not None and not self.cycle.response_complete:
                self._stop_watching()
            elif self._patience is None and not self.transport.is_closing():
                self._patience = self.loop.call_later(header_timeout, self._give_up)

        def _give_up(self) -> None:
            self._patience = None
            idle: Any = self.timeout_keep_alive_task  # between requests that timer is the one that counts
            answering = self.cycle is not None and not self.cycle.response_complete
            if idle is None and not answering:
                self.transport.abort()

        def _stop_watching(self) -> None:
            if self._patience is not None:
                self._patience.cancel()
                self._patience = None

    return TimedProtocol

"""One worker: a gateway that asks who started it for places, and ends with it."""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import signal
import socket
from collections.abc import Iterator

from vfnet_client.exceptions import VFNetError
from vfnet_gateway.application import Gateway
from vfnet_gateway.server import GatewayServer, Listening
from vfnet_gateway.settings import GatewaySettings
from vfnet_gateway.workers.link import Link
from vfnet_gateway.workers.shared_places import AskedPlaces

READY, STILL_HERE = "ready", "still here"
STOP_AT_ONCE = signal.SIGUSR1
"""Without being a lame duck first; Ctrl-C on a terminal reaches a worker too, and is for who started it to hear."""
TELL_EVERY_S = 0.2
_LENGTH_BYTES = 8


def work(end: socket.socket, listener: socket.socket) -> int:
    """Serve until told to stop, or until who started it has ended; an exit code.

    Args:
        end: of the link; the first that comes is what `hand_over` sends.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    settings, listening = _take_over(end)
    gateway = Gateway(settings)
    try:
        asyncio.run(_Worker(gateway, listening, listener, end).run())
    except VFNetError as error:
        gateway.log.note("ERROR", str(error))
        return 1
    return 0


def hand_over(end: socket.socket, settings: GatewaySettings, listening: Listening) -> None:
    """What a worker is to know: not by its arguments, which others see, for there are keys in it."""
    content = pickle.dumps((settings, listening))
    end.sendall(len(content).to_bytes(_LENGTH_BYTES, "little") + content)


def _take_over(end: socket.socket) -> tuple[GatewaySettings, Listening]:
    with end.dup().makefile("rb", buffering=0) as file:
        length = int.from_bytes(_exactly(file, _LENGTH_BYTES), "little")
        settings, listening = pickle.loads(_exactly(file, length))  # of the process that started this one
    return settings, listening


def _exactly(file: socket.SocketIO, size: int) -> bytes:
    content = b""
    while len(content) < size:
        piece = file.read(size - len(content))
        if not piece:
            raise EOFError("who started this worker has ended")
        content += piece
    return content


class _Worker(GatewayServer):
    def __init__(self, gateway: Gateway, listening: Listening, listener: socket.socket, end: socket.socket) -> None:
        super().__init__(gateway, listening, listener, shares_ports=True)
        self._end = end
        self._link: Link | None = None

    async def run(self) -> None:  # type: ignore[override]
        """Until a signal says stop, or the link ends."""
        self._link = await Link.of(self._end)
        asked = self._gateway.asked_places = AskedPlaces(self._link)
        tasks = [asyncio.create_task(work) for work in (self._hear(self._link, asked), self._tell_often(asked))]
        try:
            await super().run()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._link.close()

    def tell(self) -> None:
        """Only who started it: that says where all of them listen."""
        assert self._link is not None
        self._link.send(READY)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGTERM, and the one that does not wait."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.handle_exit, signal.SIGTERM, None)
        loop.add_signal_handler(STOP_AT_ONCE, self.handle_exit, signal.SIGINT, None)
        yield

    async def _hear(self, link: Link, asked: AskedPlaces) -> None:
        async for message in link.messages():
            asked.hear(message)
        self._gateway.log.note("ERROR", "who started this worker has ended: stopping")
        self.handle_exit(signal.SIGINT, None)

    async def _tell_often(self, asked: AskedPlaces) -> None:
        while True:
            asked.link.send(STILL_HERE)
            asked.tell()
            self._gateway.metrics.refresh()
            await asyncio.sleep(TELL_EVERY_S)

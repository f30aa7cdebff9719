"""Starts the workers, starts another where one ends, gives them places, and hands signals on."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from time import monotonic

from prometheus_client import multiprocess

from vfnet_client.exceptions import CommandError
from vfnet_gateway.access_log import AccessLog
from vfnet_gateway.keys import KeyRing
from vfnet_gateway.metrics import SHARED_METRICS_VARIABLE
from vfnet_gateway.server import Listening, tell_where, tls_context
from vfnet_gateway.settings import GatewaySettings
from vfnet_gateway.workers.link import Link
from vfnet_gateway.workers.shared_places import PlacesKeeper
from vfnet_gateway.workers.worker import READY, STOP_AT_ONCE, hand_over
from vfnet_supervision.listening import family_of

_MOST_FAILURES = 5
"""Starts in a row of one worker that may fail, once all have been ready; before that, one is too many."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 10.0
_SILENT_S = 20.0
"""A worker says five times a second that it is still here; one that does not for so long is killed."""
_LOOK_EVERY_S = 1.0
_AFTER_THE_LINK_S = 10.0
"""For a worker to end whose link has."""


def share_of_one(settings: GatewaySettings, workers: int) -> GatewaySettings:
    """What one worker may hold by itself; places in the ensemble are shared.

    Raises:
        CommandError: one body would not find room.
    """
    try:
        return replace(
            settings,
            max_held_bytes=settings.max_held_bytes // workers,
            max_connections=max(1, settings.max_connections // workers),
            max_peer_connections=max(1, settings.max_peer_connections // workers),
        )
    except ValueError as error:
        raise CommandError(
            f"with --workers {workers} each may hold {settings.max_held_bytes // workers} bytes of bodies, fewer than "
            f"the {settings.max_body_bytes} of one: raise --max-held-bytes or lower --max-body-bytes"
        ) from error


def serve_with_workers(settings: GatewaySettings, listening: Listening, listener: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT; requests in flight are finished first. Must run on the main thread.

    Raises:
        CommandError: a worker cannot start.
    """
    log = AccessLog(sys.stdout)
    keys = KeyRing(settings.keys, settings.keys_file, lambda line: log.note("INFO", line))
    tls_context(listening)  # an error of the certificate is said once
    share = share_of_one(settings, listening.workers)
    reserved = _reserve(listening)
    try:
        metrics = Path(tempfile.mkdtemp(prefix="vfnet-gateway-metrics-"))
    except OSError as error:
        raise CommandError(f"--workers needs a folder for temporary files, which TMPDIR names: {error}") from error
    try:
        asyncio.run(_Workers(settings, share, listening, listener, log, keys, metrics).run())
    finally:
        shutil.rmtree(metrics, ignore_errors=True)
        if reserved is not None:
            reserved.close()


def _reserve(listening: Listening) -> socket.socket | None:
    """The port for gRPC, which each worker binds for itself, so that no other program gets it. It gets no calls.

    Raises:
        CommandError: another program has it.
    """
    if not listening.grpc_port:
        return None
    where = (listening.host, listening.grpc_port)
    family = family_of(listening.host)
    try:
        with socket.socket(family) as probe:  # who shares a port does not notice that it is taken
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
        reserved = socket.socket(family)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that have ended linger there
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind(where)
    except OSError as error:
        raise CommandError(
            f"cannot listen on {listening.host} port {listening.grpc_port} ({error.strerror}): choose another with "
            "--grpc-port, or 0"
        ) from error
    return reserved


class _Worker:
    """One process, as long as it lives."""

    def __init__(self, process: Process, link: Link) -> None:
        self.process, self.link = process, link
        self.was_ready = asyncio.Event()
        self.heard_at = monotonic()

    async def run(self, keeper: PlacesKeeper) -> str:
        """Give it places until it has ended; how it has."""
        places = keeper.of_a_worker(self.link)
        async for message in self.link.messages():
            self.heard_at = monotonic()
            if message == [READY]:
                self.was_ready.set()
            else:
                places.hear(message)
        places.end()
        self.link.close()
        try:
            code = await asyncio.wait_for(self.process.wait(), _AFTER_THE_LINK_S)
        except TimeoutError:
            self.process.kill()
            code = await self.process.wait()
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"

    def send_signal(self, number: int) -> None:
        """To its process, if that still runs."""
        if self.process.returncode is None:
            self.process.send_signal(number)


class _Workers:
    def __init__(
        self,
        settings: GatewaySettings,
        share: GatewaySettings,
        listening: Listening,
        listener: socket.socket,
        log: AccessLog,
        keys: KeyRing,
        metrics: Path,
    ) -> None:
        self._settings, self._share, self._listening, self._listener = settings, share, listening, listener
        self._log, self._keys, self._metrics = log, keys, metrics
        self._keeper = PlacesKeeper(settings)
        self._workers: dict[int, _Worker] = {}
        self._are_all_ready = self._is_stopping = False
        self._failure: CommandError | None = None

    async def run(self) -> None:
        """Until all have ended."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop, signal.SIGTERM)
        loop.add_signal_handler(signal.SIGINT, self._stop, STOP_AT_ONCE)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        keeping = [asyncio.create_task(self._keep(position)) for position in range(self._listening.workers)]
        looking = asyncio.create_task(self._look())
        try:
            await self._until_ready()
            await asyncio.gather(*keeping)
        finally:
            looking.cancel()
            if self._listening.state_file is not None:
                self._listening.state_file.unlink(missing_ok=True)
        if self._failure is not None:
            raise self._failure
        self._log.note("INFO", "stopped")

    async def _until_ready(self) -> None:
        while not self._is_stopping:
            workers = self._workers.values()
            if len(workers) == self._listening.workers and all(worker.was_ready.is_set() for worker in workers):
                self._are_all_ready = True
                tell_where(self._log, self._keys, self._settings, self._listening, self._listener)
                return
            await asyncio.sleep(0.05)

    async def _keep(self, position: int) -> None:
        """Have a worker there until told to stop."""
        failures = 0
        while not self._is_stopping:
            try:
                worker = self._workers[position] = await self._start()
                how, was_ready = await worker.run(self._keeper), worker.was_ready.is_set()
                who = f"worker {worker.process.pid}"
                multiprocess.mark_process_dead(worker.process.pid, str(self._metrics))  # type: ignore[no-untyped-call]
            except OSError as error:  # no memory or process numbers, say
                how, was_ready, who = f"could not be started ({error.strerror or error})", False, "a worker"
            if self._is_stopping:
                return
            failures = 0 if was_ready else failures + 1
            if failures and (not self._are_all_ready or failures > _MOST_FAILURES):
                self._failure = CommandError(f"a worker of the gateway {how} before it was ready")
                self._stop(STOP_AT_ONCE)
                return
            self._log.note("ERROR", f"{who} {how}: starting another")
            pause = min(_FIRST_PAUSE_S * 2.0**failures, _LONGEST_PAUSE_S)
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))

    async def _start(self) -> _Worker:
        ours, theirs = socket.socketpair()
        environment: Mapping[str, str] = os.environ | {SHARED_METRICS_VARIABLE: str(self._metrics)}
        with theirs:
            descriptors = (theirs.fileno(), self._listener.fileno())
            command = [sys.executable, "-m", "vfnet_gateway.workers", *map(str, descriptors)]
            process = await asyncio.create_subprocess_exec(
                *command, stdin=DEVNULL, pass_fds=descriptors, env=environment
            )
        hand_over(ours, self._share, self._listening)
        return _Worker(process, await Link.of(ours))

    async def _look(self) -> None:
        looked_at = monotonic()
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            is_late, looked_at = monotonic() - looked_at > 2 * _LOOK_EVERY_S, monotonic()
            for worker in self._workers.values():
                if is_late:
                    worker.heard_at = monotonic()  # nobody listened
                elif worker.was_ready.is_set() and monotonic() - worker.heard_at > _SILENT_S:
                    self._log.note("ERROR", f"worker {worker.process.pid} said nothing for {_SILENT_S:g} s: killed")
                    worker.send_signal(signal.SIGKILL)

    def _stop(self, number: int) -> None:
        """A second time does not wait."""
        number = STOP_AT_ONCE if self._is_stopping else number
        self._is_stopping = True
        self._hand_on(number)

    def _reload(self) -> None:
        """Those that are starting read everything anyway, and would end of it."""
        for worker in self._workers.values():
            if worker.was_ready.is_set():
                worker.send_signal(signal.SIGHUP)

    def _hand_on(self, number: int) -> None:
        for worker in self._workers.values():
            worker.send_signal(number)

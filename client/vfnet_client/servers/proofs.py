"""Whether a server works, by an inference of a picture that is known to be good."""

from __future__ import annotations

import asyncio
from time import monotonic

from vfnet_client.exceptions import ServerBusyError, VFNetClientError
from vfnet_client.retry_policy import proof_picture
from vfnet_client.server_errors import deadline_exceeded
from vfnet_client.servers.kept_tasks import KeptTasks
from vfnet_client.servers.pooled_server import PooledServer

PROOF_TIMEOUT_S = 10.0


class Proofs:
    """One at a time of each server, for all who want to know."""

    def __init__(self, tasks: KeptTasks) -> None:
        self._tasks = tasks
        self.priority = 0
        """Of the pictures, as of `Transport.infer`."""
        self.under_way: dict[PooledServer, asyncio.Task[VFNetClientError | None]] = {}

    async def prove(self, server: PooledServer) -> VFNetClientError | None:
        """What is wrong with a server; None: nothing."""
        return await asyncio.shield(self.begin(server))

    def begin(self, server: PooledServer) -> asyncio.Task[VFNetClientError | None]:
        """The same, by a task that goes on if nobody waits for it."""
        if (proof := self.under_way.get(server)) is None:
            proof = self.under_way[server] = self._tasks.keep(self._proof_of(server))
            proof.add_done_callback(lambda _: self.under_way.pop(server, None))
        return proof

    async def _proof_of(self, server: PooledServer) -> VFNetClientError | None:
        # Without a time-out of its own, which would cancel it at Triton: see `vfnet_gateway.ensemble`.
        began = monotonic()
        task = asyncio.create_task(server.transport.infer(proof_picture(), priority=self.priority))
        try:
            await asyncio.wait({task}, timeout=PROOF_TIMEOUT_S)
        finally:
            self._tasks.abandon(task)
        if not task.done():  # where others are answered, it waits behind them
            return None if server.answered_at > began else deadline_exceeded(server.url, PROOF_TIMEOUT_S)
        try:
            task.result()
        except ServerBusyError:  # others are served there
            pass
        except VFNetClientError as error:
            return error
        server.answered_at = monotonic()
        return None

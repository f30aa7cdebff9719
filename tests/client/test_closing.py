"""A client shared between threads, one of which closes it."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from vfnet_client import VFNetClient, VFNetClientError


def test_a_call_while_another_thread_closes_is_refused_and_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    client, is_closing = VFNetClient("grpc://127.0.0.1:1"), threading.Event()

    async def close_slowly() -> None:
        is_closing.set()
        await asyncio.sleep(0.5)

    monkeypatch.setattr(client._client, "close", close_slowly)
    with ThreadPoolExecutor(2) as pool:
        closing = pool.submit(client.close)
        assert is_closing.wait(10)
        late = pool.submit(client.is_ready)
        with pytest.raises(VFNetClientError, match="closed"):
            late.result(timeout=30)
        closing.result(timeout=30)

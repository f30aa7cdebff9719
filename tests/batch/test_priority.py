"""Batch requests wait for interactive ones: in Triton's own queue, over gRPC and HTTP."""

from __future__ import annotations

import asyncio
import io
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf import text_format
from PIL import Image
from tritonclient.grpc import model_config_pb2

from held_detector import gate_of, with_gate
from triton_server import NO_OP, ServedRepository, serving
from vfnet_client import AsyncVFNetClient
from vfnet_serve.local_http import fetch

pytestmark = pytest.mark.served

QUEUED = 16
"""No more than the server lets wait, so that none is refused."""
IN_FLIGHT = 2
AT_WORK = IN_FLIGHT + 2
"""In the detector or before it, and in the hands of two decoders that wait for a place; the others are pending."""


@pytest.fixture(scope="module")
def two_level_server(demo_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRepository]:
    """A detector that takes one image after another."""
    repository = tmp_path_factory.mktemp("two_levels") / "repository"
    shutil.copytree(demo_repository, repository)
    path = repository / "vfnet_detector" / "configs" / "noop.pbtxt"
    config = text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())
    config.max_batch_size = 1
    config.parameters["milliseconds"].string_value = "10"
    path.write_text(text_format.MessageToString(config))
    with_gate(repository)
    room = (f"--max-in-flight={IN_FLIGHT}", f"--max-waiting={QUEUED}")
    with serving(repository, tmp_path_factory.mktemp("two_levels_server"), NO_OP, room=room) as served:
        yield served


@pytest.mark.parametrize(
    ("protocol", "priority", "overtakes"), [("grpc_url", 2, True), ("http_url", 2, True), ("grpc_url", 1, False)]
)
def test_an_interactive_request_overtakes_a_batchs(
    protocol: str, priority: int, overtakes: bool, two_level_server: ServedRepository
) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (64, 4)).save(picture, "PNG")

    async def place_of_the_interactive_one() -> int:
        url = getattr(two_level_server, protocol)
        async with AsyncVFNetClient(url, QUEUED, priority=priority) as batch, AsyncVFNetClient(url) as interactive:
            finished = list[str]()

            async def detect(client: AsyncVFNetClient, name: str) -> None:
                await client.detect(picture.getvalue())
                finished.append(name)

            with gate_of(two_level_server.repository).shut():
                waiting = [asyncio.create_task(detect(batch, "batch")) for _ in range(QUEUED)]
                await until_pending(two_level_server, QUEUED - AT_WORK)
                waiting.append(asyncio.create_task(detect(interactive, "interactive")))
                await until_pending(two_level_server, QUEUED + 1 - AT_WORK)
            await asyncio.gather(*waiting)
            return finished.index("interactive")

    place = asyncio.run(place_of_the_interactive_one())
    # Without levels it takes its turn, but for what several processes reorder at the door.
    assert (place < QUEUED // 2) if overtakes else (place > QUEUED * 3 // 4)


async def until_pending(served: ServedRepository, count: int) -> None:
    """Until so many images wait in Triton's queues."""
    deadline = time.monotonic() + 50
    while await asyncio.to_thread(pending, served) < count:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


def pending(served: ServedRepository) -> float:
    metrics = fetch(f"http://127.0.0.1:{served.metrics_port}/metrics").decode()
    sample = r'^nv_inference_pending_request_count{[^}]*model="vfnet_[^}]*} (\S+)$'  # not the ensemble's
    found = re.findall(sample, metrics, re.MULTILINE)
    return sum(map(float, found))

"""Batch requests wait for interactive ones: in Triton's own queue, over gRPC and HTTP."""

from __future__ import annotations

import asyncio
import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf import text_format
from PIL import Image
from tritonclient.grpc import model_config_pb2

from triton_server import NO_OP, ServedRepository, serving
from vfnet_client import AsyncVFNetClient

QUEUED = 24


@pytest.fixture(scope="module")
def two_level_server(demo_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRepository]:
    """A detector that takes 40 ms an image, one after another, with two levels of priority."""
    repository = tmp_path_factory.mktemp("two_levels") / "repository"
    shutil.copytree(demo_repository, repository)
    path = repository / "vfnet_detector" / "configs" / "noop.pbtxt"
    config = text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())
    config.max_batch_size = 1
    config.parameters["milliseconds"].string_value = "40"
    config.dynamic_batching.priority_levels = 2
    config.dynamic_batching.default_priority_level = 1
    path.write_text(text_format.MessageToString(config))
    with serving(repository, tmp_path_factory.mktemp("two_levels_server"), NO_OP) as served:
        yield served


@pytest.mark.parametrize(
    ("protocol", "priority", "overtakes"), [("grpc_url", 2, True), ("http_url", 2, True), ("grpc_url", 1, False)]
)
def test_an_interactive_request_overtakes_a_batchs(
    protocol: str, priority: int, overtakes: bool, two_level_server: ServedRepository
) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (64, 4)).save(picture, "PNG")

    async def batch_answers_before_the_interactive_one() -> int:
        url = getattr(two_level_server, protocol)
        async with AsyncVFNetClient(url, QUEUED, priority=priority) as batch, AsyncVFNetClient(url) as interactive:
            waiting = [asyncio.create_task(batch.detect(picture.getvalue())) for _ in range(QUEUED)]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)  # the queue has formed
            await asyncio.sleep(0.1)
            await interactive.detect(picture.getvalue())
            done = sum(task.done() for task in waiting)
            await asyncio.gather(*waiting)
            return done

    done = asyncio.run(batch_answers_before_the_interactive_one())
    # Without levels it takes its turn, but for what several processes reorder at the door.
    assert (done < QUEUED // 2) if overtakes else (done > QUEUED * 3 // 4)

"""One server, many instances: each GPU has one of the detector; here two on the CPU stand for two GPUs."""

from __future__ import annotations

import argparse
import base64
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from served_inference import infer
from triton_server import ServedRepository, serving
from vfnet.commands.serve import visible_gpus
from vfnet_build.model_configuration import configure
from vfnet_runtime.triton_models.process_activity import RECORD

PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGNgYGAAAAAEAAH2FzhVAAAAAElFTkSuQmCC")
"""A PNG."""


@pytest.fixture(scope="module")
def two_instances(demo_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRepository]:
    folder = tmp_path_factory.mktemp("two")
    repository = folder / "repository"
    shutil.copytree(demo_repository, repository)
    path = repository / "vfnet_detector" / "configs" / "noop.pbtxt"
    text = path.read_text().replace("count: 1", "count: 2").replace("max_batch_size: 8", "max_batch_size: 2")
    path.write_text(text)
    configure(path, path, {"milliseconds": "150"})
    with serving(repository, folder, "--model-config-name=noop", "--gpus=none") as served:
        yield served


def at_work(process: psutil.Process) -> int:
    """Requests that a model's process is at."""
    folder = Path(process.environ()["VFNET_ACTIVITY_DIR"])
    return int(RECORD.unpack((folder / str(process.pid)).read_bytes())[0])


@pytest.mark.served
def test_batches_spread_over_the_instances(two_instances: ServedRepository) -> None:
    processes = two_instances.model_processes("vfnet_detector")
    assert len(processes) == 2
    with ThreadPoolExecutor(12) as pool:
        answers = [pool.submit(infer, two_instances, PIXEL) for _ in range(12)]
        together = 0
        while not all(answer.done() for answer in answers):
            together += all(at_work(process) for process in processes)
            time.sleep(0.005)
    assert together > 5  # of the time, both worked
    assert len({tuple(answer.result()["SCORES"]) for answer in answers}) == 1


@pytest.mark.served
def test_the_server_sees_the_gpus_it_is_told_of(two_instances: ServedRepository) -> None:
    for process in two_instances.model_processes("vfnet_detector"):
        assert process.environ()["CUDA_VISIBLE_DEVICES"] == ""


def test_gpus_are_named_as_cuda_names_them() -> None:
    assert visible_gpus("all") is None
    assert visible_gpus("none") == ""
    assert visible_gpus("0,3") == "0,3"
    assert visible_gpus("GPU-8932f937-d72c") == "GPU-8932f937-d72c"
    for text in ("", "0,", "0,0", "first", "-1"):
        with pytest.raises(argparse.ArgumentTypeError, match="neither all, none"):
            visible_gpus(text)

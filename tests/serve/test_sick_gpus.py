"""GPUs that fail or are full, by a detector that fails on cue: the others serve on, and nothing is loaded twice."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from score_requests import strip_png
from served_inference import document, serves
from triton_server import NO_OP, ServedRepository, serving
from waiting import eventually

pytestmark = pytest.mark.served
PATIENCE = 90.0
FAILS_ON_CUE = '''

import os
from vfnet_runtime.triton_models.gpu_instances import GpuRecords, said_of_gpu

CUES = Path({cues!r})
Working = TritonPythonModel


class TritonPythonModel(Working):
    """Fails as PyTorch does on a GPU that is sick, or that does not hold two of it."""

    def initialize(self, args):
        seen = os.environ["CUDA_VISIBLE_DEVICES"].split(",")
        if "1" in seen and (CUES / "sick").exists():
            with said_of_gpu(seen.index("1"), has_neighbour=False):
                raise RuntimeError("CUDA error: unspecified launch failure")
        if GpuRecords.of_this_server().note("GPU-0", args["model_instance_name"]) and (CUES / "small").exists():
            with said_of_gpu(0, has_neighbour=True):
                raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        super().initialize(args)
'''


@pytest.fixture(scope="module")
def cues(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cues")


@pytest.fixture(scope="module")
def two_gpus(demo_repository: Path, cues: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRepository]:
    folder = tmp_path_factory.mktemp("gpus")
    repository = folder / "repository"
    shutil.copytree(demo_repository, repository)
    model = repository / "vfnet_detector" / "1" / "noop_model.py"
    model.write_text(model.read_text() + FAILS_ON_CUE.format(cues=str(cues)))
    configuration = repository / "vfnet_detector" / "configs" / "noop.pbtxt"
    configuration.write_text(configuration.read_text().replace("count: 1", "count: 2"))
    with serving(repository, folder, NO_OP, "--gpus=0,1") as served:
        yield served


def seen_by_the_detector(served: ServedRepository) -> set[str]:
    return {process.environ()["CUDA_VISIBLE_DEVICES"] for process in served.model_processes("vfnet_detector")}


def new_lines(served: ServedRepository) -> Callable[[], str]:
    """What the server has logged since now."""
    start = len(served.log.read_text())
    return lambda: served.log.read_text()[start:]


def kill_one(served: ServedRepository) -> None:
    served.model_processes("vfnet_detector")[0].kill()


def test_where_there_is_no_room_for_two_the_old_one_goes_first(two_gpus: ServedRepository, cues: Path) -> None:
    image, log = strip_png(), new_lines(two_gpus)
    expected = document(two_gpus, image)
    (cues / "small").touch()
    kill_one(two_gpus)
    # Triton 2.51 sometimes ends with SIGSEGV when a load fails; then the old one has gone, too.
    said = ("letting that one go first", "starting Triton again")
    assert eventually(lambda: any(words in log() for words in said), PATIENCE), log()
    back = ("serves again", "INFO ready after")
    assert eventually(lambda: any(words in log() for words in back), PATIENCE), log()
    assert eventually(lambda: serves(two_gpus, image), PATIENCE), log()
    assert document(two_gpus, image) == expected
    assert eventually(lambda: len(two_gpus.model_processes("vfnet_detector")) == 2, PATIENCE)
    assert "without GPU" not in log()
    (cues / "small").unlink()


def test_a_gpu_that_does_not_come_back_is_taken_out(two_gpus: ServedRepository, cues: Path) -> None:
    image, log = strip_png(), new_lines(two_gpus)
    expected = document(two_gpus, image)
    assert seen_by_the_detector(two_gpus) == {"0,1"}
    (cues / "sick").touch()
    kill_one(two_gpus)
    assert eventually(lambda: "starting Triton again without GPU 1" in log(), PATIENCE), log()
    assert eventually(lambda: serves(two_gpus, image), PATIENCE), log()
    assert document(two_gpus, image) == expected
    assert seen_by_the_detector(two_gpus) == {"0"}
    assert two_gpus.process.poll() is None

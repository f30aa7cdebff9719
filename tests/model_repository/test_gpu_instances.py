"""What a detector says of a GPU that it cannot begin on, and how it knows of another that is there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vfnet_runtime.triton_models.gpu_instances import GpuRecords, said_of_gpu
from vfnet_serve.gpus import VisibleGpus, says_gpu_is_unusable, says_there_is_no_room

SICK = RuntimeError("CUDA error: unspecified launch failure\nCompile with `TORCH_USE_CUDA_DSA`")
FULL = RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")


def said(error: Exception, *, has_neighbour: bool = False) -> str:
    with pytest.raises(type(error)) as caught, said_of_gpu(3, has_neighbour=has_neighbour):
        raise error
    return str(caught.value)


def test_a_sick_gpu_is_named_for_vfnet_serve() -> None:
    assert said(SICK) == "GPU 3 cannot be used: CUDA error: unspecified launch failure"
    assert says_gpu_is_unusable(said(SICK, has_neighbour=True))
    assert says_gpu_is_unusable(said(FULL))  # there is nobody to wait for


def test_a_full_gpu_is_another_matter_where_one_serves_on_it() -> None:
    words = said(FULL, has_neighbour=True)
    assert says_there_is_no_room(words)
    assert not says_gpu_is_unusable(words)


def test_other_failures_are_not_the_gpus() -> None:
    assert said(ValueError("on CUDA the canvases are fixed, not x32")) == "on CUDA the canvases are fixed, not x32"


@pytest.fixture
def other_process() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize(
    ("gpu", "instance", "is_neighbour"),
    [
        ("GPU-a", "vfnet_detector_0_0", True),  # whose place this one takes
        ("GPU-a", "vfnet_detector_0_1", False),  # another instance that was asked for
        ("GPU-a", "vfnet_detector_b_0_0", True),  # of a model that is deployed beside it
        ("GPU-b", "vfnet_detector_0_0", False),
    ],
)
def test_who_is_on_the_gpu(
    gpu: str, instance: str, is_neighbour: bool, tmp_path: Path, other_process: subprocess.Popen[bytes]
) -> None:
    records = GpuRecords(tmp_path / "gpus")
    assert not records.note("GPU-a", "vfnet_detector_0_0")
    assert not records.note("GPU-a", "vfnet_detector_0_0")  # itself
    (own,) = (tmp_path / "gpus").iterdir()
    own.rename(own.with_name(str(other_process.pid)))
    assert records.note(gpu, instance) == is_neighbour
    other_process.kill()
    other_process.wait()
    assert not records.note(gpu, instance)
    assert [path.name for path in (tmp_path / "gpus").iterdir()] == [own.name]
    records.forget()
    assert not list((tmp_path / "gpus").iterdir())


def test_under_a_stock_server_nothing_is_noted() -> None:
    records = GpuRecords(None)
    assert not records.note("GPU-a", "vfnet_detector_0_0")
    records.forget()


def test_the_gpu_that_cannot_be_used_is_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for given, count, name, left in (
        (None, 4, "3", "0,1,2"),
        ("0,1,2,GPU-8932f937-d72c", 8, "GPU-8932f937-d72c", "0,1,2"),
        ("7,5,3,1", 8, "1", "7,5,3"),
    ):
        gpus = VisibleGpus(given, count)
        assert gpus.visible == given
        assert gpus.take_out(said(SICK)) == name
        assert gpus.visible == left
        assert gpus.take_out(said(SICK)) is None  # there is no fourth any more
        assert gpus.visible == left


def test_the_last_gpu_stays_and_other_reasons_take_none_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4")
    gpus = VisibleGpus(None, 8)
    assert gpus.take_out("GPU 0 cannot be used: CUDA error") is None
    assert VisibleGpus("0,1", 2).take_out("could not load vfnet_detector: no such file") is None
    assert VisibleGpus("", 2).take_out("GPU 0 cannot be used") is None

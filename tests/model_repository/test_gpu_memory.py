"""A GPU whose memory does not hold every batch, with something in its place that fails on cue."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from simulated_cuda import simulate_cuda
from small_networks import BACKBONES, small_network
from vfnet_runtime.architecture.detector import Detector
from vfnet_runtime.engines.batching import Batch
from vfnet_runtime.engines.cuda_runner import CudaRunner
from vfnet_runtime.engines.fused_network import fuse
from vfnet_runtime.engines.gpu_memory import is_out_of_memory, prepare_what_fits
from vfnet_runtime.engines.torch_engine import Image, said_of_memory, why_not


class Memory:
    """Holds batches of so many images; a capture that is broken off raises something else over it, as CUDA's do."""

    def __init__(self, holds: int) -> None:
        self.holds, self.tried, self.released = holds, list[tuple[int, ...]](), 0

    def prepare(self, sizes: tuple[int, ...]) -> str:
        self.tried.append(sizes)
        if sizes[-1] > self.holds:
            try:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            finally:
                raise RuntimeError("operation failed due to a previous error during capture")
        return f"up to {sizes[-1]}"

    def release(self) -> None:
        self.released += 1


@pytest.mark.parametrize(("holds", "sizes"), [(8, (1, 2, 4, 8)), (5, (1, 2, 4)), (1, (1,))])
def test_the_largest_batches_are_left_out(holds: int, sizes: tuple[int, ...]) -> None:
    memory = Memory(holds)
    assert prepare_what_fits(memory.prepare, (1, 2, 4, 8), memory.release) == (f"up to {sizes[-1]}", sizes)
    assert memory.released == len(memory.tried) - 1


def test_where_one_image_does_not_fit_the_reason_is_raised() -> None:
    memory = Memory(0)
    with pytest.raises(RuntimeError) as caught:
        prepare_what_fits(memory.prepare, (1, 2), memory.release)
    assert is_out_of_memory(caught.value)
    assert memory.tried == [(1, 2), (1,)]


def test_other_failures_are_not_tried_again() -> None:
    def prepare(_sizes: tuple[int, ...]) -> None:
        raise RuntimeError("no kernel image is available for execution on the device")

    with pytest.raises(RuntimeError, match="no kernel image"):
        prepare_what_fits(prepare, (1, 2), lambda: None)


def test_libraries_that_have_no_memory_say_so_in_their_own_words() -> None:
    assert is_out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"))
    assert not is_out_of_memory(RuntimeError("CUDA error: an illegal memory access was encountered"))


def test_what_is_left_out_is_said() -> None:
    assert said_of_memory((1, 2), (1, 2, 4, 8), 3 << 29, 16 << 30) == (
        "the GPU's memory (16 GiB, now 1.5 GiB free) does not hold batches of 8: at most 2 images are computed together"
    )


def test_bf16_is_refused_below_8_0() -> None:
    assert "compute capability 7.5, has no bf16" in str(why_not("bf16", (7, 5)))
    assert why_not("bf16", (8, 0)) is None
    assert why_not("fp16", (7, 5)) is None


def test_the_runner_serves_with_what_its_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    simulate_cuda(monkeypatch, holds=2)
    network = small_network(BACKBONES["ResNet"])
    detector = Detector(network, fuse(network, torch.float32)).eval()
    runner = CudaRunner(detector, torch.device("cpu"), ((64, 64), (64, 96)), (1, 2, 4))
    assert runner.batch_sizes == (1, 2)
    assert set(runner.runs) == {((64, 64), 1), ((64, 64), 2), ((64, 96), 1), ((64, 96), 2)}
    image = Image(np.full((1, 64, 64, 3), 99, np.uint8), np.array([[60, 50]], np.int32))
    first, second = runner.finish(runner.start(Batch((64, 64), (0, 1), 2), [image, image]))
    for ours, theirs in zip(first, second, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(torch.OutOfMemoryError):
        CudaRunner(detector, torch.device("cpu"), ((64, 64),), (1, 2, 4), all_sizes=True)


def test_levels_beside_each_other_give_the_same_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their order is the GPU's; here that nothing is left out or mixed up."""
    simulate_cuda(monkeypatch)
    network = small_network(BACKBONES["ResNet deformable"])
    detector = Detector(network, fuse(network, torch.float32)).eval()
    pixels = torch.full((1, 64, 96, 3), 99, dtype=torch.uint8)
    valid_shape = torch.tensor([[60, 90]], dtype=torch.int32)
    with torch.inference_mode():
        expected = detector(pixels, valid_shape)
        network.bbox_head.side_stream = torch.cuda.Stream()  # type: ignore[assignment]
        found = detector(pixels, valid_shape)
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.equal(ours, theirs)

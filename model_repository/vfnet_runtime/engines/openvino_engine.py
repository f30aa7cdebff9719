"""The network on CPUs: OpenVINO, several images at once on its own streams."""

from __future__ import annotations

import functools
import queue
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic_ns
from typing import Any

import openvino as ov
from numpy.typing import NDArray

from vfnet_runtime.engines.convolutions.deformable_convolution import PackedWeights, lower_deformable_convolutions
from vfnet_runtime.engines.convolutions.kernel_operation import KernelOperation, kernel_operations
from vfnet_runtime.engines.convolutions.library import LIBRARY
from vfnet_runtime.engines.convolutions.winograd_convolution import TransformedFilters, lower_plain_convolutions
from vfnet_runtime.processor_cores import available_cores

HeadOutputs = list[NDArray[Any]]
"""float32 per level, finest first: logits [1, num_classes, H_l, W_l] of all levels, then boxes [1, 4, H_l, W_l]."""

Done = Callable[[HeadOutputs | None, Exception | None], None]
Timed = Callable[[int, int], None]
"""Is told between which nanoseconds of CLOCK_MONOTONIC an inference was computed."""

_HINTS = {"f32": "f32", "bf16": "bf16", "int8": "f32"}
"""What OpenVINO computes in wherever the network file does not say int8 itself."""


_MOST_THROUGHPUT_STREAMS = 4
"""More were not tried; each takes the memory of one image's feature maps."""
_LONGEST_TO_SHORTEST = 4


def is_strip(shape: Sequence[int]) -> bool:
    """Whether an image [1, H, W, 3] is so long that it is computed by `submit` only.

    OpenVINO divides the convolutions over a few long rows (7 x 42) among threads in a way that changes the last bits,
    and an image's answer shall not depend on what waits beside it. Shapes of photos have the same bits either way.
    """
    _, height, width, _ = shape
    return max(height, width) > _LONGEST_TO_SHORTEST * min(height, width)


@functools.cache
def openvino_core() -> ov.Core:
    """This process's one OpenVINO, which never ends.

    The CPU plugin of each gives the thread that loads it a stack for signal handlers and, at its end, puts back the one
    it found (2026.4): of two, the first to end leaves the other's thread a stack that is gone, or a second thread that
    ends it does. The next signal that Python handles would kill the process.
    """
    return ov.Core()


class CompiledNetwork:
    """A network as OpenVINO runs it, and its fixed number of inferences under way."""

    def __init__(
        self,
        compiled_model: ov.CompiledModel,
        streams: int,
        is_lowered: bool,
        operations: Sequence[KernelOperation] = (),
    ) -> None:
        """`operations`: of ours in the network; they are released with it."""
        self.compiled_model, self.streams, self.is_lowered = compiled_model, streams, is_lowered
        # One more than there are streams: while the outputs of one are read another is ready to run.
        self.slots = streams + 1
        self.idle: queue.SimpleQueue[ov.InferRequest] = queue.SimpleQueue()
        self.ends: deque[int] = deque(maxlen=streams)
        """Of the last inferences, nanoseconds of CLOCK_MONOTONIC: the next one had to wait for the first of them."""
        for _ in range(self.slots):
            self.idle.put(compiled_model.create_infer_request())
        # Not when the process ends: an inference may still be under way.
        weakref.finalize(compiled_model, _release, tuple(operations)).atexit = False


def _release(operations: Sequence[KernelOperation]) -> None:
    for operation in operations:
        operation.release()


class OpenVINOEngine:
    """A compiled network, which gives all threads to few images, and perhaps a second one for many images at once."""

    def __init__(
        self,
        model_path: Path,
        inference_precision: str = "f32",
        num_streams: int = 0,
        inference_num_threads: int = 0,
        cache_dir: Path | None = None,
        throughput_streams: int | None = None,
    ) -> None:
        """Compile.

        Args:
            model_path: the IR's `.xml`, its `.bin` beside it.
            inference_precision: `f32`, `bf16` or `int8`, for which the network file has to be quantized. Always
                set: OpenVINO may choose bf16 by itself.
            num_streams: images computed at once; 0: one per four cores. On few cores one image on all of
                them is done soonest.
            inference_num_threads: 0: every core the process may use.
            cache_dir: a folder where the compiled network is kept for the next start. Only where OpenVINO's own
                deformable convolutions do: it cannot store ours.
            throughput_streams: images that a second network computes at once, for `submit_together`: threads that
                need not wait for each other after every layer get more done. 0: one per thread, on up to four;
                None, or as many as `num_streams`: no second network.
        """
        threads = inference_num_threads or available_cores()
        streams = num_streams or max(1, threads // 4)
        if throughput_streams == 0:
            throughput_streams = threads if threads <= _MOST_THROUGHPUT_STREAMS else streams
        self._model_path, self._precision = model_path, inference_precision
        self._threads, self._cache_dir = threads, cache_dir
        self._streams, self._throughput_streams = streams, throughput_streams
        self._packed_weights: PackedWeights = {}
        self._transformed_filters: TransformedFilters = {}
        self.network: CompiledNetwork
        self.throughput_network: CompiledNetwork | None
        self.renew()
        networks = [each for each in (self.network, self.throughput_network) if each is not None]
        self._workers = ThreadPoolExecutor(sum(each.slots for each in networks))
        self.description = f"OpenVINO {inference_precision}, {streams} stream(s) on {threads} thread(s)"
        if self.throughput_network is not None:
            self.description += f", {throughput_streams} where so many images wait"
        if not self.network.is_lowered:
            self.description += "; OpenVINO's own deformable convolutions, in f32, which take longer"

    def renew(self) -> None:
        """Compile anew, while nothing is under way, after an inference has failed.

        OpenVINO (2026.4) keeps one state of the network for each stream, not for each request. A layer that raises
        leaves it half changed: those before it have the shapes of the image that failed, and an image of the size
        before, which changes nothing at the entrance, is then computed with these.

        Raises:
            Exception: what OpenVINO raises; the engine can no longer be used.
        """
        self.throughput_network = None
        self.network = self._compile(self._streams)
        if self._throughput_streams is not None and self._throughput_streams != self._streams:
            self.throughput_network = self._compile(self._throughput_streams)

    def submit(
        self, pixels: NDArray[Any], valid_shape: NDArray[Any], done: Done, timed: Timed = lambda *_: None
    ) -> None:
        """Start one inference that is alone, or one of few; wait first while the network has no slot free.

        Args:
            pixels: uint8 [1, H, W, 3], see `vfnet_preprocess`.
            valid_shape: int32 [1, 2].
            done: called once on a thread of its own, with the outputs (valid only until it returns)
                or with what went wrong.
            timed: called before `done`.
        """
        self._submit(self.network, pixels, valid_shape, done, timed)

    def submit_together(
        self, pixels: NDArray[Any], valid_shape: NDArray[Any], done: Done, timed: Timed = lambda *_: None
    ) -> None:
        """As `submit`, one of `count_together` that are submitted in a row."""
        self._submit(self.throughput_network or self.network, pixels, valid_shape, done, timed)

    def count_together(self, images: int) -> int:
        """How many of so many images that wait are done soonest by `submit_together`; the rest by `submit`."""
        return 0 if self.throughput_network is None else images - images % self.throughput_network.streams

    def compute(self, pixels: NDArray[Any], valid_shape: NDArray[Any]) -> HeadOutputs:
        """One inference, here and now; see `submit`. The outputs are the caller's."""
        request = self.network.idle.get()
        try:
            return list(request.infer([pixels, valid_shape]).values())
        finally:
            self.network.idle.put(request)

    def close(self) -> None:
        """Wait for what is under way."""
        self._workers.shutdown()

    def _compile(self, streams: int) -> CompiledNetwork:
        core = openvino_core()
        model = core.read_model(self._model_path)
        library, threads = self._model_path.with_name(LIBRARY), max(1, self._threads // streams)
        deformable = lower_deformable_convolutions(model, self._precision, threads, library, self._packed_weights)
        plain = 0
        if self._precision == "f32":  # bf16 and int8 are quicker than a quarter of the products in f32
            plain = lower_plain_convolutions(model, threads, library, self._transformed_filters)
        properties: dict[str, object] = {
            "INFERENCE_PRECISION_HINT": _HINTS[self._precision],
            "NUM_STREAMS": streams,
            "INFERENCE_NUM_THREADS": self._threads,
            "ENABLE_CPU_PINNING": False,  # other processes share these cores
        }
        if deformable + plain > 0:
            operations = kernel_operations(model)
            compiled = core.compile_model(model, "CPU", properties)
            return CompiledNetwork(compiled, streams, deformable > 0, operations)
        if self._cache_dir is not None:
            properties["CACHE_DIR"] = str(self._cache_dir)
        # By its path: a cached network is found without being read.
        return CompiledNetwork(core.compile_model(str(self._model_path), "CPU", properties), streams, is_lowered=False)

    def _submit(
        self, network: CompiledNetwork, pixels: NDArray[Any], valid_shape: NDArray[Any], done: Done, timed: Timed
    ) -> None:
        request = network.idle.get()

        # A thread that waits, not OpenVINO's callback: that one is not called when an inference fails.
        def run() -> None:
            outputs, failure = None, None
            started = monotonic_ns()
            try:
                outputs = list(request.infer([pixels, valid_shape], share_outputs=True).values())
            except Exception as error:
                failure = error
            ended, before = monotonic_ns(), tuple(network.ends)
            network.ends.append(ended)
            timed(max(started, before[0]) if len(before) == network.streams else started, ended)
            try:
                done(outputs, failure)
            finally:
                network.idle.put(request)

        self._workers.submit(run)

"""The network on CPUs: OpenVINO, several images at once on its own streams."""

from __future__ import annotations

import queue
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openvino as ov
from deformable_convolution import LIBRARY, lower_deformable_convolutions
from numpy.typing import NDArray
from processor_cores import available_cores

HeadOutputs = list[NDArray[Any]]
"""float32 per level, finest first: logits [1, num_classes, H_l, W_l] of all levels, then boxes [1, 4, H_l, W_l]."""

_HINTS = {"f32": "f32", "bf16": "bf16", "int8": "f32"}
"""What OpenVINO computes in wherever the network file does not say int8 itself."""


class OpenVINOEngine:
    """A compiled network and a fixed number of inferences under way."""

    def __init__(
        self,
        model_path: Path,
        inference_precision: str = "f32",
        num_streams: int = 0,
        inference_num_threads: int = 0,
        cache_dir: Path | None = None,
    ) -> None:
        """Compile.

        Args:
            model_path: the IR's `.xml`, its `.bin` beside it.
            inference_precision: `f32`, `bf16` or `int8`, for which the network file has to be quantized. Always
                set: OpenVINO may choose bf16 by itself.
            num_streams: images computed at once; 0: one per four cores. On few cores one image on
                all of them gives as many images a second as several on one each, and sooner.
            inference_num_threads: 0: every core the process may use.
            cache_dir: a folder where the compiled network is kept for the next start. Not used where deformable
                convolutions are ours, which OpenVINO cannot store.
        """
        threads = inference_num_threads or available_cores()
        streams = num_streams or max(1, threads // 4)
        core = ov.Core()
        model = core.read_model(model_path)
        lowered = lower_deformable_convolutions(
            model, inference_precision, max(1, threads // streams), model_path.with_name(LIBRARY)
        )
        properties: dict[str, object] = {
            "INFERENCE_PRECISION_HINT": _HINTS[inference_precision],
            "NUM_STREAMS": streams,
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,  # other processes share these cores
        }
        if lowered:
            self.compiled_model = core.compile_model(model, "CPU", properties)
        else:  # by its path: a cached network is found without being read
            if cache_dir is not None:
                properties["CACHE_DIR"] = str(cache_dir)
            self.compiled_model = core.compile_model(str(model_path), "CPU", properties)
        # One more than there are streams: while the outputs of one are read another is ready to run.
        self.slots = streams + 1
        self.idle: queue.SimpleQueue[ov.InferRequest] = queue.SimpleQueue()
        for _ in range(self.slots):
            self.idle.put(self.compiled_model.create_infer_request())
        self.workers = ThreadPoolExecutor(self.slots)
        self.description = f"OpenVINO {inference_precision}, {streams} stream(s) on {threads} thread(s)"
        if inference_precision != "f32" and not lowered:
            self.description += "; deformable convolutions in f32, which takes longer"

    def submit(
        self,
        pixels: NDArray[Any],
        valid_shape: NDArray[Any],
        done: Callable[[HeadOutputs | None, Exception | None], None],
    ) -> None:
        """Start one inference; wait first while `slots` are under way.

        Args:
            pixels: uint8 [1, H, W, 3], see `vfnet_preprocess`.
            valid_shape: int32 [1, 2].
            done: called once on a thread of its own, with the outputs (valid only until it returns)
                or with what went wrong.
        """
        request = self.idle.get()

        # A thread that waits, not OpenVINO's callback: that one is not called when an inference fails.
        def run() -> None:
            outputs, failure = None, None
            try:
                outputs = list(request.infer([pixels, valid_shape], share_outputs=True).values())
            except Exception as error:
                failure = error
            try:
                done(outputs, failure)
            finally:
                self.idle.put(request)

        self.workers.submit(run)

    def compute(self, pixels: NDArray[Any], valid_shape: NDArray[Any]) -> HeadOutputs:
        """One inference, here and now; see `submit`. The outputs are the caller's."""
        request = self.idle.get()
        try:
            return list(request.infer([pixels, valid_shape]).values())
        finally:
            self.idle.put(request)

    def close(self) -> None:
        """Wait for what is under way."""
        for _ in range(self.slots):
            self.idle.get()
        self.workers.shutdown()

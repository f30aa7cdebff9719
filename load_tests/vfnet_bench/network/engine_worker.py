"""Detects with the served steps around a network in torch or in ONNX Runtime; times each image.

usage: python -m vfnet_bench.network.engine_worker torch|onnxruntime CHECKPOINT THREADS SCRATCH

Speaks as `mmdet_worker.py` does: versions when it is ready, then a run for each line on stdin, the path of an image.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch

from vfnet_model.checkpoints.loading import build_network, load_checkpoint
from vfnet_model.detectors.checkpoint_detector import CheckpointDetector
from vfnet_runtime.architecture.vfnet import VFNet


class ONNXRuntimeDetector(CheckpointDetector):
    """The network as ONNX, on ONNX Runtime's CPU provider with its own defaults."""

    def __init__(self, network: VFNet, threads: int, scratch: Path) -> None:
        import onnxruntime

        from vfnet_build.engines import onnx

        super().__init__(network)
        path = scratch / "network.onnx"
        onnx.export(network, path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def predict(self, pixels: Any, valid_shape: Any) -> list[Any]:
        """See `CheckpointDetector.predict`."""
        outputs = self._session.run(None, {"pixels": pixels, "valid_shape": valid_shape})
        return [output[0] for output in outputs]


def main(kind: str, checkpoint: Path, threads: int, scratch: Path) -> None:
    """Load, say so, then wait for work."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever libraries print is not for our reader
    torch.set_num_threads(threads)
    network = build_network(load_checkpoint(checkpoint))
    versions = {"torch": str(torch.__version__)}
    if kind == "onnxruntime":
        import onnxruntime

        versions = {"onnxruntime": str(onnxruntime.__version__)}
        detector: CheckpointDetector = ONNXRuntimeDetector(network, threads, scratch)
    else:
        detector = CheckpointDetector(network)
    print(json.dumps({"versions": versions}), file=answers, flush=True)
    for line in sys.stdin:
        path = Path(json.loads(line))
        started = time.perf_counter()
        found = detector.detect(path)
        seconds = time.perf_counter() - started
        rows = [
            [detector.classes[label], score, *corners]
            for label, score, corners in zip(found.labels, found.scores.tolist(), found.boxes.tolist(), strict=True)
        ]
        print(json.dumps({"seconds": seconds, "result": rows}), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))

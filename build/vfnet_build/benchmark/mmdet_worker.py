"""Runs in an environment of MMDetection 2.x, not in ours: times `inference_detector` each time it is asked.

usage: python -I mmdet_worker.py CONFIG CHECKPOINT IMAGE THREADS

CONFIG is a pickled dict, the parsed config of the checkpoint. When it is ready, and after each inference, a line of
JSON goes to stdout; a line on stdin asks for an inference, its end for the end.
"""

import importlib.machinery
import importlib.util
import json
import os
import pickle
import sys
import time
import types
from pathlib import Path


def main(config_file: str, checkpoint: str, image: str, threads: int) -> None:
    """Load, say so, then wait for work without spinning (OMP_WAIT_POLICY=passive is set by the caller)."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # mmdet prints on stdout as it pleases
    _stub_torchvision()

    import mmcv  # type: ignore[import-not-found]
    import mmdet  # type: ignore[import-not-found]
    import torch
    from mmdet.apis import inference_detector, init_detector  # type: ignore[import-not-found]

    torch.set_num_threads(threads)
    with Path(config_file).open("rb") as file:
        config = mmcv.Config(pickle.load(file))
    model = init_detector(config, checkpoint, device="cpu")
    versions = {"mmdet": mmdet.__version__, "mmcv": mmcv.__version__, "torch": torch.__version__}
    print(json.dumps({"versions": versions}), file=answers, flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        found = inference_detector(model, image)
        seconds = time.perf_counter() - started
        print(json.dumps({"seconds": seconds, "detections": sum(map(len, found))}), file=answers, flush=True)


def _stub_torchvision() -> None:
    """mmcv imports torchvision for its download addresses only, and torch's CPU build often comes without."""
    if importlib.util.find_spec("torchvision") is None:
        stub = types.ModuleType("torchvision")
        stub.__version__ = "0.0.0"  # type: ignore[attr-defined]
        stub.__spec__ = importlib.machinery.ModuleSpec("torchvision", None)
        sys.modules["torchvision"] = stub


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))

"""Runs in an environment of MMDetection 2.x, not in ours: times one task each time it is asked.

usage: python -I mmdet_worker.py CONFIG CHECKPOINT THREADS detect IMAGE
       python -I mmdet_worker.py CONFIG CHECKPOINT THREADS train BATCH

CONFIG is a pickled dict, the parsed config of the checkpoint; BATCH an .npz of images, boxes and labels. When it is
ready, and after each run, a line of JSON goes to stdout; a line on stdin asks for a run, its end for the end.
"""

import importlib.machinery
import importlib.util
import json
import os
import pickle
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any


def main(config_file: str, checkpoint: str, threads: int, task: str, data: str) -> None:
    """Load, say so, then wait for work without spinning (OMP_WAIT_POLICY=passive is set by the caller)."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # mmdet prints on stdout as it pleases
    _stub_torchvision()

    import mmcv  # type: ignore[import-not-found]
    import mmdet  # type: ignore[import-not-found]
    import torch

    torch.set_num_threads(threads)
    with Path(config_file).open("rb") as file:
        config = mmcv.Config(pickle.load(file))
    run = {"detect": _detection, "train": _training_pass}[task](config, checkpoint, data)
    versions = {"mmdet": mmdet.__version__, "mmcv": mmcv.__version__, "torch": torch.__version__}
    print(json.dumps({"versions": versions}), file=answers, flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        result = run()
        print(json.dumps({"seconds": time.perf_counter() - started, "result": result}), file=answers, flush=True)


def _detection(config: Any, checkpoint: str, image: str) -> Callable[[], float]:
    """`inference_detector`; its result is how many boxes it found."""
    from mmdet.apis import inference_detector, init_detector  # type: ignore[import-not-found]

    model = init_detector(config, checkpoint, device="cpu")
    return lambda: sum(map(len, inference_detector(model, image)))


def _training_pass(config: Any, checkpoint: str, batch: str) -> Callable[[], float]:
    """Forward and backward; its result is the loss."""
    import numpy as np
    import torch
    from mmcv.runner import load_checkpoint  # type: ignore[import-not-found]
    from mmdet.models import build_detector  # type: ignore[import-not-found]

    model = build_detector(config.model)
    load_checkpoint(model, checkpoint, map_location="cpu", strict=True)
    model.train()
    arrays = np.load(batch)
    images = torch.from_numpy(arrays["images"])
    shape = (*images.shape[2:], 3)
    meta = {"img_shape": shape, "pad_shape": shape, "ori_shape": shape, "scale_factor": np.ones(4, np.float32)}
    metas = [{**meta, "flip": False, "filename": ""}] * len(images)
    boxes, labels = ([torch.from_numpy(arrays[name])] * len(images) for name in ("boxes", "labels"))

    def run() -> float:
        model.zero_grad()
        total, _ = model._parse_losses(model.forward_train(images, metas, boxes, labels))
        total.backward()
        return float(total)

    return run


def _stub_torchvision() -> None:
    """mmcv imports torchvision for its download addresses only, and torch's CPU build often comes without."""
    if importlib.util.find_spec("torchvision") is None:
        stub = types.ModuleType("torchvision")
        stub.__version__ = "0.0.0"  # type: ignore[attr-defined]
        stub.__spec__ = importlib.machinery.ModuleSpec("torchvision", None)
        sys.modules["torchvision"] = stub


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], sys.argv[5])

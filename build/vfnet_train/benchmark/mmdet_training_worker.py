"""Runs in an environment of MMDetection 2.x, not in ours: times a forward and backward pass each time it is asked.

usage: python -I mmdet_training_worker.py CONFIG CHECKPOINT THREADS BATCH

CONFIG is a pickled dict, the parsed config of the checkpoint; BATCH an .npz of images, boxes and labels. When it is
ready, and after each pass, a line of JSON goes to stdout; a line on stdin asks for a pass, its end for the end.
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


def main(config_file: str, checkpoint: str, threads: int, batch_file: str) -> None:
    """Load, say so, then wait for work."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # mmdet prints on stdout as it pleases
    _stub_torchvision()

    import mmcv  # type: ignore[import-not-found]
    import mmdet  # type: ignore[import-not-found]
    import numpy as np
    import torch
    from mmcv.runner import load_checkpoint  # type: ignore[import-not-found]
    from mmdet.models import build_detector  # type: ignore[import-not-found]

    torch.set_num_threads(threads)
    with Path(config_file).open("rb") as file:
        model = build_detector(mmcv.Config(pickle.load(file)).model)
    load_checkpoint(model, checkpoint, map_location="cpu", strict=True)
    model.train()
    arrays = np.load(batch_file)
    images = torch.from_numpy(arrays["images"])
    shape = (*images.shape[2:], 3)
    meta = {"img_shape": shape, "pad_shape": shape, "ori_shape": shape, "scale_factor": np.ones(4, np.float32)}
    metas = [{**meta, "flip": False, "filename": ""}] * len(images)
    boxes, labels = ([torch.from_numpy(arrays[name])] * len(images) for name in ("boxes", "labels"))
    versions = {"mmdet": mmdet.__version__, "mmcv": mmcv.__version__, "torch": torch.__version__}
    print(json.dumps({"versions": versions}), file=answers, flush=True)
    for _ in sys.stdin:
        model.zero_grad()
        started = time.perf_counter()
        losses = model.forward_train(images, metas, boxes, labels)
        total, _ = model._parse_losses(losses)
        total.backward()
        print(json.dumps({"seconds": time.perf_counter() - started, "loss": float(total)}), file=answers, flush=True)


def _stub_torchvision() -> None:
    """mmcv imports torchvision for its download addresses only, and torch's CPU build often comes without."""
    if importlib.util.find_spec("torchvision") is None:
        stub = types.ModuleType("torchvision")
        stub.__version__ = "0.0.0"  # type: ignore[attr-defined]
        stub.__spec__ = importlib.machinery.ModuleSpec("torchvision", None)
        sys.modules["torchvision"] = stub


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])

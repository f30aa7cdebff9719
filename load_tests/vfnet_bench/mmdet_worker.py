"""Runs in an environment of MMDetection 2.x, not in ours: times one task each time it is asked.

usage: python -I mmdet_worker.py CONFIG CHECKPOINT THREADS detect
       python -I mmdet_worker.py CONFIG CHECKPOINT THREADS train BATCH

CONFIG is a pickled dict, the parsed config of the checkpoint; BATCH an .npz of images, boxes and labels. When it is
ready, and after each run, a line of JSON goes to stdout; a line of JSON on stdin asks for a run (`detect` takes the
path of an image), its end for the end. `mlflow_model.py` imports this file, too.
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


def main(config_file: str, checkpoint: str, threads: int, task: str, data: str = "") -> None:
    """Load, say so, then wait for work without spinning (OMP_WAIT_POLICY=passive is set by the caller)."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # mmdet prints on stdout as it pleases
    prepare = detection if task == "detect" else _training_pass
    run = prepare(config_file, checkpoint, threads, data)
    print(json.dumps({"versions": versions()}), file=answers, flush=True)
    for line in sys.stdin:
        argument = json.loads(line)
        started = time.perf_counter()
        result = run(argument)
        print(json.dumps({"seconds": time.perf_counter() - started, "result": result}), file=answers, flush=True)


def versions() -> "dict[str, str]":
    """Of what computes."""
    import mmcv  # type: ignore[import-not-found]
    import mmdet  # type: ignore[import-not-found]
    import torch

    return {"mmdet": mmdet.__version__, "mmcv": mmcv.__version__, "torch": torch.__version__}


def detection(config_file: str, checkpoint: str, threads: int, _: str = "") -> Callable[[Any], Any]:
    """`inference_detector` on a path or on BGR pixels: a list of [class name, score, x1, y1, x2, y2] in pixels."""
    config = _read_config(config_file, threads)
    from mmdet.apis import inference_detector, init_detector  # type: ignore[import-not-found]

    model = init_detector(config, checkpoint, device="cpu")

    def run(image: Any) -> Any:
        found = inference_detector(model, image)
        return [
            [name, row[4], *row[:4]] for name, rows in zip(model.CLASSES, found, strict=True) for row in rows.tolist()
        ]

    return run


def _training_pass(config_file: str, checkpoint: str, threads: int, batch: str) -> Callable[[Any], Any]:
    """Forward and backward; its result is the loss."""
    config = _read_config(config_file, threads)
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

    def run(_: Any) -> float:
        model.zero_grad()
        total, _ = model._parse_losses(model.forward_train(images, metas, boxes, labels))
        total.backward()
        return float(total)

    return run


def _read_config(config_file: str, threads: int) -> Any:
    """Import mmcv, limit torch, and read the config."""
    _stub_torchvision()
    import mmcv
    import torch

    torch.set_num_threads(threads)
    with Path(config_file).open("rb") as file:
        return mmcv.Config(pickle.load(file))


def _stub_torchvision() -> None:
    """mmcv imports torchvision for its download addresses only, and torch's CPU build often comes without."""
    if importlib.util.find_spec("torchvision") is None:
        stub = types.ModuleType("torchvision")
        stub.__version__ = "0.0.0"  # type: ignore[attr-defined]
        stub.__spec__ = importlib.machinery.ModuleSpec("torchvision", None)
        sys.modules["torchvision"] = stub


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), *sys.argv[4:])

"""Runs inside the real mmdet's environment: trains on given batches as mmdet's configs/vfnet do, prints the losses.

Arguments: CHECKPOINT BATCHES (npz), and optimiser and learning rate: sgd RATE or adamw RATE.
"""

import json
import sys
import warnings

warnings.filterwarnings("ignore")

import numpy as np  # noqa: E402
import torch  # noqa: E402
from mmcv import Config  # noqa: E402
from mmcv.runner import build_optimizer, load_checkpoint  # noqa: E402
from mmdet.models import build_detector  # noqa: E402
from torch.nn.utils import clip_grad_norm_  # noqa: E402

OPTIMIZERS = {
    "sgd": {"type": "SGD", "momentum": 0.9, "weight_decay": 1e-4},
    "adamw": {"type": "AdamW", "weight_decay": 1e-4},
}
PARAMWISE = {"bias_lr_mult": 2.0, "bias_decay_mult": 0.0}
MAX_GRADIENT_NORM = 35.0


def main(checkpoint: str, batches: str, optimizer_name: str, rate: str) -> None:
    """One line of JSON: a list of losses per step."""
    torch.set_num_threads(1)  # two threads of mmcv spin for minutes on a machine that does other work too
    text = torch.load(checkpoint, map_location="cpu", weights_only=True)["meta"]["config"]
    model = build_detector(Config.fromstring(text, ".py").model)
    load_checkpoint(model, checkpoint, map_location="cpu", strict=True)
    model.train()
    settings = {**OPTIMIZERS[optimizer_name], "lr": float(rate), "paramwise_cfg": PARAMWISE}
    optimizer = build_optimizer(model, settings)
    told = []
    rates = [group["lr"] for group in optimizer.param_groups]
    for step, batch in enumerate(_read(np.load(batches))):
        for group, full in zip(optimizer.param_groups, rates):  # noqa: B905 - also old Pythons
            # mmcv's LrUpdaterHook with the configs' warmup='linear', warmup_iters=500, warmup_ratio=0.1
            group["lr"] = full * (1 - (1 - step / 500) * (1 - 0.1))
        optimizer.zero_grad()
        losses = model.forward_train(**batch)
        total, log = model._parse_losses(losses)
        total.backward()
        clip_grad_norm_([p for p in model.parameters() if p.requires_grad], MAX_GRADIENT_NORM)
        optimizer.step()
        told.append({name: float(value) for name, value in log.items()})
    print(json.dumps(told))


def _read(arrays):
    for step in range(int(arrays["steps"])):
        images = torch.from_numpy(arrays[f"images_{step}"])
        shape = (*images.shape[2:], 3)
        meta = {"img_shape": shape, "pad_shape": shape, "ori_shape": shape, "scale_factor": np.ones(4, np.float32)}
        count = len(images)
        yield {
            "img": images,
            "img_metas": [{**meta, "flip": False, "filename": ""}] * count,
            "gt_bboxes": [torch.from_numpy(arrays[f"boxes_{step}_{index}"]) for index in range(count)],
            "gt_labels": [torch.from_numpy(arrays[f"labels_{step}_{index}"]) for index in range(count)],
        }


if __name__ == "__main__":
    main(*sys.argv[1:])

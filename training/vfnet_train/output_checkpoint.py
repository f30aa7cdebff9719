"""The checkpoint a training leaves: MMDetection 2.x's file format, for `vfnet build` and for mmdet itself."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

from vfnet_model.checkpoints.config_writing import MMDET_VERSION, write_model_config
from vfnet_runtime.architecture.vfnet import VFNet
from vfnet_tiling.parameters import parameters_of
from vfnet_tiling.tiling import Tiling
from vfnet_train.training_state import Position, save_durably


def write_checkpoint(
    path: Path, network: VFNet, position: Position, figures: dict[str, float], tiling: Tiling | None = None
) -> None:
    """Write weights, config and class names whole.

    Args:
        position: how far the training was.
        figures: COCO's, of these weights; {} if they were not evaluated.
        tiling: what it was trained and evaluated in, recorded for those who detect with it.
    """
    meta: dict[str, Any] = {
        "mmdet_version": MMDET_VERSION,
        "config": write_model_config(network.config),
        "CLASSES": network.config.classes,
        "epoch": position.epoch,
        "iter": position.step,
        "evaluation": figures,
    }
    if tiling is not None:
        meta["tiling"] = parameters_of(tiling)
    weights = OrderedDict((key, value.detach().cpu().contiguous()) for key, value in network.state_dict().items())
    save_durably(path, {"meta": meta, "state_dict": weights})

"""Where the demonstration's training starts: a half-width VFNet around a backbone that has seen ImageNet."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from demonstration.rendered_scenes.objects import CLASSES
from vfnet_model.checkpoints.config_writing import MMDET_VERSION, write_model_config
from vfnet_runtime.architecture.config import BackboneConfig, HeadConfig, NeckConfig, PreprocessConfig, VFNetConfig
from vfnet_runtime.architecture.deform_conv import ModulatedDeformConv2dPack
from vfnet_runtime.architecture.vfnet import VFNet
from vfnet_train.errors import FinetuneError
from vfnet_train.training_state import save_durably

_BASE_CHANNELS, _STEM_CHANNELS, _NECK_CHANNELS = 32, 64, 128
_BGR_MEAN = (104.0, 117.0, 123.0)
"""What the backbone was trained with, unscaled: Caffe's habit."""
_SEED = 0


def demonstration_config(scale: tuple[int, int]) -> VFNetConfig:
    """`vfnet_r50_fpn_mdconv_c3-c5` at half width; images are resized to fit `scale`, longest and shortest side."""
    return VFNetConfig(
        classes=CLASSES,
        backbone=BackboneConfig(
            base_channels=_BASE_CHANNELS,
            stem_channels=_STEM_CHANNELS,
            style="caffe",
            stage_with_dcn=(False, True, True, True),
        ),
        neck=NeckConfig(
            in_channels=tuple(_BASE_CHANNELS * 4 * 2**stage for stage in range(4)), out_channels=_NECK_CHANNELS
        ),
        head=HeadConfig(
            num_classes=len(CLASSES), in_channels=_NECK_CHANNELS, feat_channels=_NECK_CHANNELS, dcn_on_last_conv=True
        ),
        preprocess=PreprocessConfig(img_scale=scale, mean=_BGR_MEAN, std=(1.0, 1.0, 1.0), to_rgb=False),
    )


def write_initial_checkpoint(backbone: Path, path: Path, scale: tuple[int, int]) -> None:
    """Write an mmdet 2.x checkpoint: the backbone's weights, and a neck and a head of always the same random numbers.

    Args:
        backbone: an .npz of a ResNet-50's `state_dict` under mmdet's names.

    Raises:
        FinetuneError: the file is not that.
    """
    with torch.random.fork_rng():
        torch.manual_seed(_SEED)
        network = VFNet(demonstration_config(scale))
    load_backbone(network.backbone, backbone)
    meta = {
        "mmdet_version": MMDET_VERSION,
        "config": write_model_config(network.config),
        "CLASSES": network.config.classes,
        "epoch": 0,
        "iter": 0,
        "untrained": True,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_durably(path, {"meta": meta, "state_dict": OrderedDict(network.state_dict())})


def load_backbone(network: nn.Module, path: Path) -> None:
    """Give a backbone the weights of an .npz, so that it computes what the network computed that they come from.

    A modulated deformable convolution that has learnt nothing is an ordinary one at half strength (its mask is
    sigmoid(0)), so its weights are doubled; its offsets and masks start from nothing.

    Raises:
        FinetuneError: the file does not hold this network's weights.
    """
    weights = _read(path)
    for name, module in network.named_modules():
        if isinstance(module, ModulatedDeformConv2dPack) and f"{name}.weight" in weights:
            weights[f"{name}.weight"] = 2 * weights[f"{name}.weight"]
    try:
        missing, unexpected = network.load_state_dict(weights, strict=False)
    except RuntimeError as error:  # torch lists the shapes that differ, one a line
        raise FinetuneError(f"{path} does not fit the backbone: {str(error).splitlines()[1].strip()}") from None
    problems = [f"lacks {name}" for name in missing if ".conv_offset." not in name]
    problems += [f"has {name}, which the backbone does not" for name in unexpected]
    if problems:
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise FinetuneError(f"{path} does not fit the backbone: it {'; '.join(problems[:3])}{more}")


def _read(path: Path) -> dict[str, Tensor]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            stored: Mapping[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]] = dict(arrays)
    except (OSError, ValueError, EOFError) as error:
        raise FinetuneError(f"{path} cannot be read as NumPy's .npz: {error}") from None
    return {name: torch.from_numpy(array) for name, array in stored.items()}

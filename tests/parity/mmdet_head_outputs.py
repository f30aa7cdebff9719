"""Runs inside the real mmdet's environment: makes a checkpoint of a stock configuration, runs its network.

Arguments: CONFIG (a stem in configs/vfnet) OVERRIDES (JSON, keys with dots) REFERENCE (../shared/reference), and to
write: CHECKPOINT OUTPUTS (npz).
"""

import json
import sys
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")

import mmcv  # noqa: E402
import mmdet  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from mmcv import Config  # noqa: E402
from mmcv.runner import save_checkpoint  # noqa: E402
from mmdet.models import build_detector  # noqa: E402


def main(stem: str, overrides: str, reference: str, checkpoint: str, outputs: str) -> None:
    """The weights are refweights.py's, so that both sides agree on them without sharing code."""
    sys.path.insert(0, reference)
    from refweights import make_state

    config = Config.fromfile(str(Path(mmdet.__file__).parent / ".mim" / "configs" / "vfnet" / f"{stem}.py"))
    config.merge_from_dict(json.loads(overrides))
    config.model.backbone.init_cfg = None
    text = config.pretty_text  # before building, which takes keys out of the config
    model = build_detector(config.model).eval()
    own = model.state_dict()
    # Offsets smaller than the reference's: thirty deformable layers of a ResNet-101 with those are
    # chaotic, and torch against itself, one rounding apart, differs by more than the tolerance.
    state = make_state([(key, tuple(value.shape)) for key, value in own.items()], {"offset_gain": 0.3})
    model.load_state_dict({key: torch.from_numpy(np.asarray(state[key])).reshape(own[key].shape) for key in own})
    classes = tuple(f"class {index}" for index in range(config.model.bbox_head.num_classes))
    save_checkpoint(model, checkpoint, meta={"config": text, "CLASSES": classes})
    pixels = np.random.RandomState(0).randint(0, 256, (64, 96, 3)).astype(np.uint8)
    normalised = mmcv.imnormalize(  # the pixels are RGB already
        pixels, np.float32(config.img_norm_cfg.mean), np.float32(config.img_norm_cfg.std), to_rgb=False
    )
    with torch.no_grad():
        features = model.extract_feat(torch.from_numpy(normalised.transpose(2, 0, 1)[None]))
        cls_scores, bbox_preds = model.bbox_head(features)
    arrays = {"pixels": pixels[None]}
    for level, (cls_score, bbox_pred) in enumerate(zip(cls_scores, bbox_preds)):  # noqa: B905 - also old Pythons
        arrays[f"cls_score_{level}"] = cls_score.numpy()
        arrays[f"bbox_pred_refine_{level}"] = bbox_pred.numpy()
    np.savez(outputs, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])

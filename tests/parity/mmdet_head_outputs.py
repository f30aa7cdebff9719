"""Runs inside the real mmdet's environment: makes a checkpoint of a stock configuration, runs its network.

Arguments: CONFIG (a stem in configs/vfnet) REFERENCE (../shared/reference), and to write: CHECKPOINT OUTPUTS (npz).
"""

import sys
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")

import mmdet  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from mmcv import Config  # noqa: E402
from mmcv.runner import save_checkpoint  # noqa: E402
from mmdet.models import build_detector  # noqa: E402


def main(stem: str, reference: str, checkpoint: str, outputs: str) -> None:
    """The weights are refweights.py's, so that both sides agree on them without sharing code."""
    sys.path.insert(0, reference)
    from refweights import make_state

    config = Config.fromfile(str(Path(mmdet.__file__).parent / ".mim" / "configs" / "vfnet" / f"{stem}.py"))
    config.model.backbone.init_cfg = None
    model = build_detector(config.model).eval()
    own = model.state_dict()
    # Offsets smaller than the reference's: thirty deformable layers of a ResNet-101 with those are
    # chaotic, and torch against itself, one rounding apart, differs by more than the tolerance.
    state = make_state([(key, tuple(value.shape)) for key, value in own.items()], {"offset_gain": 0.3})
    model.load_state_dict({key: torch.from_numpy(np.asarray(state[key])).reshape(own[key].shape) for key in own})
    classes = tuple(f"class {index}" for index in range(80))
    save_checkpoint(model, checkpoint, meta={"config": config.pretty_text, "CLASSES": classes})
    image = torch.from_numpy(np.random.RandomState(0).standard_normal((1, 3, 160, 192)).astype(np.float32))
    with torch.no_grad():
        cls_scores, bbox_preds = model.bbox_head(model.extract_feat(image))
    arrays = {"image": image.numpy()}
    for level, (cls_score, bbox_pred) in enumerate(zip(cls_scores, bbox_preds)):  # noqa: B905 - also old Pythons
        arrays[f"cls_score_{level}"] = cls_score.numpy()
        arrays[f"bbox_pred_refine_{level}"] = bbox_pred.numpy()
    np.savez(outputs, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])

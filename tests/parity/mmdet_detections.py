"""Runs inside the real mmdet's environment: CHECKPOINT IMAGE... -> detections as JSON on stdout."""

import json
import sys
import warnings

warnings.filterwarnings("ignore")

import torch  # noqa: E402
from mmcv import Config  # noqa: E402
from mmdet.apis import inference_detector, init_detector  # noqa: E402


def main(checkpoint: str, images: list[str]) -> None:
    """The detector is built from the checkpoint's own config text, as anyone would."""
    torch.set_num_threads(2)
    meta = torch.load(checkpoint, map_location="cpu", weights_only=True)["meta"]
    config = Config.fromstring(meta["config"], ".py")
    config.model.backbone.init_cfg = None
    model = init_detector(config, checkpoint, device="cpu")
    found = []
    for image in images:
        per_class = inference_detector(model, image)
        found.append([[*map(float, row), label] for label, rows in enumerate(per_class) for row in rows])
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])

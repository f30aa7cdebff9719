"""Runs inside the real mmdet's environment: [--flip] [--scale WxH]... CHECKPOINT IMAGE... -> detections as JSON."""

import argparse
import json
import sys
import warnings

warnings.filterwarnings("ignore")

import torch  # noqa: E402
from mmcv import Config  # noqa: E402
from mmdet.apis import inference_detector, init_detector  # noqa: E402


def main(checkpoint: str, images: list[str], flip: bool, scales: list[str]) -> None:
    """The detector is built from the checkpoint's own config text, as anyone would.

    Args:
        flip, scales: in place of what the config's `MultiScaleFlipAug` says.
    """
    torch.set_num_threads(2)
    meta = torch.load(checkpoint, map_location="cpu", weights_only=True)["meta"]
    config = Config.fromstring(meta["config"], ".py")
    config.model.backbone.init_cfg = None
    augmentation = config.data.test.pipeline[-1]
    augmentation.flip = flip or augmentation.flip
    if scales:
        augmentation.img_scale = [tuple(map(int, scale.split("x"))) for scale in scales]
    model = init_detector(config, checkpoint, device="cpu")
    found = []
    for image in images:
        per_class = inference_detector(model, image)
        found.append([[*map(float, row), label] for label, rows in enumerate(per_class) for row in rows])
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--flip", action="store_true")
    parser.add_argument("--scale", action="append", default=[], dest="scales")
    parser.add_argument("checkpoint")
    parser.add_argument("images", nargs="+")
    main(**vars(parser.parse_args()))

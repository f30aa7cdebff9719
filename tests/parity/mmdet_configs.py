"""Runs inside the real mmdet's environment: its VFNet configs, as a checkpoint would hold them, as JSON on stdout."""

import json
import sys
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")

import mmdet  # noqa: E402
from mmcv import Config  # noqa: E402

if __name__ == "__main__":
    folder = Path(mmdet.__file__).parent / ".mim" / "configs" / "vfnet"
    texts = {path.stem: Config.fromfile(str(path)).pretty_text for path in sorted(folder.glob("*.py"))}
    json.dump(texts, sys.stdout)

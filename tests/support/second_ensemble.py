"""A repository with a second ensemble beside `vfnet`, of the same models under another name."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

MODELS = ("vfnet", "vfnet_preprocess", "vfnet_detector", "vfnet_postprocess")
_NO_OP_LABELS = "self.labels = np.zeros((1, rows), np.int32)"


def with_second_ensemble(repository: Path, target: Path, name: str, *, no_op_label: int = 0) -> Path:
    """A copy in which the ensemble `name` does what `vfnet` does; the copy.

    Args:
        no_op_label: the class index of all that its configuration `noop` finds.
    """
    shutil.copytree(repository, target)
    for model in MODELS:
        renamed = target / model.replace("vfnet", name, 1)
        shutil.copytree(target / model, renamed)
        for config in renamed.rglob("*.pbtxt"):
            text = re.sub(r'(name: ")vfnet(["_])', rf"\g<1>{name}\g<2>", config.read_text())
            config.write_text(text)
    code = target / f"{name}_detector/1/vfnet_runtime/triton_models/noop_detector_model.py"
    source = code.read_text()
    assert source.count(_NO_OP_LABELS) == 1
    code.write_text(source.replace(_NO_OP_LABELS, f"self.labels = np.full((1, rows), {no_op_label}, np.int32)"))
    return target

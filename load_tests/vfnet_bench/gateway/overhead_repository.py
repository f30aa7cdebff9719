"""A served repository in which not even the pictures are decoded: what is left is the overhead of serving."""

from __future__ import annotations

import shutil
from pathlib import Path

_MODEL = '''"""Any bytes -> one black canvas of the smallest size: the overhead of serving alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Takes the image as `vfnet_preprocess` does, and looks at its length only."""

    def execute(self, requests: list[Any]) -> list[Any]:
        return [self.answer(request) for request in requests]

    def answer(self, request: Any) -> Any:
        image = pb_utils.get_input_tensor_by_name(request, "IMAGE").as_numpy().reshape(-1)[0]
        if not len(image):
            return pb_utils.InferenceResponse(error=pb_utils.TritonError("empty", pb_utils.TritonError.INVALID_ARG))
        return pb_utils.InferenceResponse(
            output_tensors=[
                pb_utils.Tensor("PIXELS", np.zeros((1, 32, 32, 3), np.uint8)),
                pb_utils.Tensor("VALID_SHAPE", np.array([[32, 32]], np.int32)),
                pb_utils.Tensor("GEOMETRY", np.array([[32, 32, 1, 1]], np.float32)),
            ]
        )
'''


def without_decoding(repository: Path, target: Path) -> Path:
    """A copy of a built repository whose `vfnet_preprocess` does no work; the copy."""
    shutil.copytree(repository, target)
    folder = target / "vfnet_preprocess"
    (folder / "1" / "overhead_model.py").write_text(_MODEL, encoding="utf-8")
    with (folder / "config.pbtxt").open("a", encoding="utf-8") as config:
        config.write('\ndefault_model_filename: "overhead_model.py"\n')
    return target

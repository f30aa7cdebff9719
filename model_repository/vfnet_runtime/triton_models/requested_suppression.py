"""The optional inputs by which one request changes how its boxes are chosen."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from vfnet_runtime.suppression import ClassNames, OptionError, Suppression
from vfnet_runtime.triton_models.checked_inputs import InvalidInputError, read_input


def requested_suppression(request: Any, own: Suppression, names: ClassNames) -> Suppression:
    """The model's own, with SCORE_THRESHOLD, CLASSES, MAX_DETECTIONS and NMS_IOU as far as the request has them.

    Raises:
        InvalidInputError: one of them makes no sense.
    """
    try:
        return own.changed(
            names,
            score_threshold=_number(request, "SCORE_THRESHOLD", np.float32),
            classes=_classes(request, names),
            max_detections=_number(request, "MAX_DETECTIONS", np.int32),
            nms_iou=_number(request, "NMS_IOU", np.float32),
        )
    except OptionError as error:
        raise InvalidInputError(str(error)) from None


def _number(request: Any, name: str, dtype: type[np.generic]) -> Any:
    if pb_utils.get_input_tensor_by_name(request, name) is None:
        return None
    return read_input(request, name, dtype, (1,))[0].item()


def _classes(request: Any, names: ClassNames) -> list[str] | None:
    tensor = pb_utils.get_input_tensor_by_name(request, "CLASSES")
    if tensor is None:
        return None
    names.check_number(math.prod(tensor.shape()))  # of which more are not even read: see `bounded_elements`
    try:
        return [element.decode() for element in read_input(request, "CLASSES", np.object_, (None,))]
    except UnicodeDecodeError:
        raise InvalidInputError("CLASSES holds a text that is no UTF-8") from None

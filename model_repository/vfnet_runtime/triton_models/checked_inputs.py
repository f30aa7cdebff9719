"""What each step of the ensemble is given, held against its contract before anything is computed from it.

Triton itself refuses missing and unknown inputs, other types and other numbers of dimensions, but lets pass sides of 0,
any size where a dimension is -1, several images where a model batches, and any value. Who calls a step directly may
send all of these; what comes from the step before passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

from vfnet_runtime.canvases import canvas_for

_MOST_STORED_PIXELS = 1e9
"""A side of a stored image is no longer: the decoder reads no such image."""
_LONGEST_RESIZED = 1e6
"""Nor a side of a resized one: `img_scale` of no checkpoint allows it."""
_ROUNDING = 1.001
"""Boxes are clipped to the resized image; both its sides, here from float32 factors, and they may be rounded."""


class InvalidInputError(ValueError):
    """The caller's fault; the message is one sentence for the caller."""


def image_bytes(request: Any) -> bytes:
    """The one element of `vfnet_preprocess`'s IMAGE.

    Raises:
        InvalidInputError: there is none, or more than one.
    """
    data: bytes = read_input(request, "IMAGE", np.object_, (1,))[0]
    return data


@dataclass(frozen=True)
class PixelsContract:
    """What `vfnet_preprocess` can make of an image."""

    img_scale: tuple[int, int]
    """Longest and shortest side that resized images fit, in either order."""
    size_divisor: int
    takes_stored: bool = False
    """Whether it may also be an image as it is stored, which the detector resizes."""

    @classmethod
    def from_parameters(cls, parameters: dict[str, str], *, takes_stored: bool = False) -> PixelsContract:
        """The detector's `img_scale` and `size_divisor`, as `vfnet build` wrote them."""
        first, second = (int(side) for side in parameters["img_scale"].split(","))
        return cls((first, second), int(parameters["size_divisor"]), takes_stored)

    def read(self, request: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        """One image's PIXELS uint8 [1, H, W, 3], on its own canvas or as it is stored, and VALID_SHAPE int32 [1, 2].

        Raises:
            InvalidInputError: they are not what `vfnet_preprocess` makes of an image.
        """
        valid_shape = read_input(request, "VALID_SHAPE", np.int32, (1, 2))
        height, width = valid_shape[0].tolist()
        longest, shortest = max(self.img_scale), min(self.img_scale)
        if min(height, width) < 1 or max(height, width) > longest or min(height, width) > shortest:
            raise InvalidInputError(
                f"VALID_SHAPE must be height and width of an image resized to fit {longest} x {shortest} pixels, "
                f"each at least 1, not {height}, {width}"
            )
        own = self.own_canvas(height, width)
        if self.takes_stored and (stored := self._stored_size(request, height, width, own)) is not None:
            own = stored
        return read_input(request, "PIXELS", np.uint8, (1, *own, 3)), valid_shape

    def own_canvas(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of what holds a resized image."""
        return canvas_for(height, width, (), self.size_divisor)

    def _stored_size(self, request: Any, height: int, width: int, own: tuple[int, int]) -> tuple[int, int] | None:
        """Of an image that the detector is to resize: one that has fewer pixels so, and would be of VALID_SHAPE."""
        from vfnet_runtime.resizing import resized_size  # OpenCV, which other detectors do not need

        tensor = pb_utils.get_input_tensor_by_name(request, "PIXELS")
        shape = (0,) if tensor is None else tuple(tensor.shape())
        if len(shape) != 4 or not 0 < shape[1] * shape[2] <= own[0] * own[1]:
            return None
        size = (int(shape[1]), int(shape[2]))
        return size if resized_size(size[1], size[0], self.img_scale) == (width, height) else None


@dataclass(frozen=True)
class Candidates:
    """`vfnet_postprocess`'s required inputs, without their first dimension."""

    boxes: NDArray[Any]
    """float32 [K, 4] x1 y1 x2 y2 in resized pixels, within the resized image."""
    scores: NDArray[Any]
    """float32 [K], 0..1."""
    labels: NDArray[Any]
    """int32 [K], below the number of classes."""
    width: float
    """Of the stored image, in pixels."""
    height: float
    scale_factor: NDArray[Any]
    """float32 [2], resized / stored width and height."""


def candidates(request: Any, max_candidates: int, classes: int) -> Candidates:
    """Read and check CANDIDATE_BOXES, CANDIDATE_SCORES, CANDIDATE_LABELS and GEOMETRY.

    Raises:
        InvalidInputError: they are no candidates of one image.
    """
    geometry = read_input(request, "GEOMETRY", np.float32, (1, 4))[0]
    width, height, scale_x, scale_y = geometry.tolist()
    resized = width * scale_x, height * scale_y
    # Written so that NaN fails, here and below.
    if not all(1 <= side <= _MOST_STORED_PIXELS for side in (width, height)):
        raise InvalidInputError(f"GEOMETRY must begin with the stored image's width and height, not {width}, {height}")
    if not all(0.5 <= side <= _LONGEST_RESIZED for side in resized):
        raise InvalidInputError(
            f"GEOMETRY must end with the factors by which width and height were resized, not {scale_x}, {scale_y}"
        )
    boxes = read_input(request, "CANDIDATE_BOXES", np.float32, (1, None, 4))[0]
    count = len(boxes)
    if count > max_candidates:
        raise InvalidInputError(f"CANDIDATE_BOXES holds {count} candidates; there are never more than {max_candidates}")
    scores = read_input(request, "CANDIDATE_SCORES", np.float32, (1, count))[0]
    labels = read_input(request, "CANDIDATE_LABELS", np.int32, (1, count))[0]
    if count:
        if not (boxes.min() >= 0 and boxes.max() <= max(resized) * _ROUNDING + 1):
            raise InvalidInputError("CANDIDATE_BOXES must lie within the resized image, which GEOMETRY tells")
        if not (scores.min() >= 0 and scores.max() <= 1):
            raise InvalidInputError("CANDIDATE_SCORES must be within 0..1")
        if not (labels.min() >= 0 and labels.max() < classes):
            raise InvalidInputError(f"CANDIDATE_LABELS must be the numbers of classes, 0..{classes - 1}")
    return Candidates(boxes, scores, labels, width, height, geometry[2:])


def ticket(request: Any) -> int:
    """TICKET, 0 where there is none: see `tickets`. One that is not out, or never was, is found out there.

    Raises:
        InvalidInputError: it can be no ticket.
    """
    if pb_utils.get_input_tensor_by_name(request, "TICKET") is None:
        return 0
    number = int(read_input(request, "TICKET", np.int64, (1, 1))[0, 0])
    if number < 0:
        raise InvalidInputError(f"TICKET must be one that vfnet_preprocess gave, not {number}")
    return number


def read_input(request: Any, name: str, dtype: type[np.generic], shape: Sequence[int | None]) -> NDArray[Any]:
    """An input of this type and shape; None: any length.

    Raises:
        InvalidInputError: it is not there, or another.
    """
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    if tensor is None:
        raise InvalidInputError(f"{name} is missing")
    found = tuple(tensor.shape())
    if len(found) != len(shape) or any(want not in (None, have) for want, have in zip(shape, found, strict=True)):
        wanted = ", ".join("any number" if each is None else str(each) for each in shape)
        raise InvalidInputError(f"{name} must be of shape [{wanted}], not {list(found)}")
    try:
        values: NDArray[Any] = tensor.as_numpy()
    except Exception:  # BYTES that do not hold as many elements as their shape says
        raise InvalidInputError(f"{name} does not hold what its shape {list(found)} says") from None
    if values.dtype != dtype or values.shape != found:
        raise InvalidInputError(f"{name} must be {np.dtype(dtype)} of shape {list(found)}, not {values.dtype}")
    return values

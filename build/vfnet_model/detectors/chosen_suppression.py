"""What a caller wants of the detections, for a detector in this process as a server of the same model would do it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from vfnet_client.detection_options import DetectionOptions
from vfnet_client.exceptions import InvalidOptionsError
from vfnet_runtime.suppression import ClassNames, OptionError, Suppression


def chosen_suppression(own: Suppression, classes: Sequence[str], options: DetectionOptions) -> Suppression:
    """The model's own settings with what the options change.

    Args:
        classes: of the model, in the order of its labels.

    Raises:
        InvalidOptionsError: one of them makes no sense to this model.
    """
    try:
        return own.changed(ClassNames(classes), **asdict(options))
    except OptionError as error:
        raise InvalidOptionsError(str(error)) from error

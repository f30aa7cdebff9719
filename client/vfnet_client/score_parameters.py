"""`params` of a scoring request: the keys that mean something, and what each wants.

AzureML's endpoint ignores `params`. Here a key that is known must make sense, and every other one is ignored, so that
requests written for AzureML go on working. Null is as good as absent: so programs write what was left open.

To add a key that is an option of the detections, add it to `_OPTIONS`. One of another kind gets a field in
`ScoreParameters` and is read in `read_parameters`, where it is also added to `known`: callers are told in the header
`PARAMETERS_HEADER` of the answer which keys were understood, and `vfnet_client.score_endpoint` refuses an answer of an
endpoint that has not understood what it was sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vfnet_client.detection_options import NO_OPTIONS, DetectionOptions, check_option
from vfnet_client.exceptions import RequestError
from vfnet_tiling.parameters import TILING_PARAMETERS, tiling_of
from vfnet_tiling.tiling import Tiling, TilingError

THRESHOLD_PARAMETER = "box_score_threshold"
"""AutoML's name of the option `score_threshold`."""
PARAMETERS_HEADER = "x-vfnet-params"
"""Of an answer: the keys of `params` that were understood, in alphabetical order; absent where there was none."""
_OPTIONS = {
    THRESHOLD_PARAMETER: "score_threshold",
    "score_threshold": "score_threshold",
    "classes": "classes",
    "max_detections": "max_detections",
    "nms_iou": "nms_iou",
}
"""By key, which option of `DetectionOptions` it is."""


@dataclass(frozen=True)
class ScoreParameters:
    """What `params` of one request wants, for all its images."""

    options: DetectionOptions = NO_OPTIONS
    tiling: Tiling | None = None
    """Detect in tiles of each image, too; None: not."""
    known: tuple[str, ...] = ()
    """The keys that were understood, in alphabetical order."""

    def headers(self) -> dict[str, str]:
        """Of an answer that did as they say."""
        return {PARAMETERS_HEADER: ", ".join(self.known)} if self.known else {}


NO_PARAMETERS = ScoreParameters()


def read_parameters(params: Any) -> ScoreParameters:
    """`params` of a parsed body; what is no object says nothing.

    Raises:
        RequestError: 400, with a sentence that begins with the key whose value makes no sense.
    """
    if not isinstance(params, Mapping):
        return NO_PARAMETERS
    options, known = _options(params)
    try:
        tiling = tiling_of(params)
    except TilingError as error:
        raise RequestError(400, str(error)) from error
    if tiling is not None:
        known |= TILING_PARAMETERS & {key for key, value in params.items() if value is not None}
    return ScoreParameters(options, tiling, tuple(sorted(known))) if known else NO_PARAMETERS


def written_parameters(options: DetectionOptions) -> dict[str, Any]:
    """The inverse of `read_parameters`."""
    given = {
        THRESHOLD_PARAMETER: options.score_threshold,
        "classes": None if options.classes is None else list(options.classes),
        "max_detections": options.max_detections,
        "nms_iou": options.nms_iou,
    }
    return {key: value for key, value in given.items() if value is not None}


def _options(params: Mapping[str, Any]) -> tuple[DetectionOptions, set[str]]:
    """The detections' options, and the keys that said so."""
    values: dict[str, Any] = {}
    known = {key for key in _OPTIONS if params.get(key) is not None}
    for key in sorted(known):
        option = _OPTIONS[key]
        try:
            chosen = check_option(option, params[key], f'"{key}"')
        except ValueError as error:
            raise RequestError(400, str(error)) from error
        if values.setdefault(option, chosen) != chosen:
            raise RequestError(400, f'"{THRESHOLD_PARAMETER}" and "score_threshold" are one option, and differ')
    return DetectionOptions(**values) if values else NO_OPTIONS, set(known)

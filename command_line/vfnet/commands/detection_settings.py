"""The options that change a checkpoint's own test settings, shared by what builds it and what detects with it here."""

from __future__ import annotations

import argparse
from dataclasses import replace

from vfnet_client.commands.options import at_least_one, box_count, fraction, scale
from vfnet_client.detection_options import DetectionOptions
from vfnet_client.exceptions import CommandError
from vfnet_model.detection_settings import DetectionSettings


def add_detection_arguments(parser: argparse.ArgumentParser) -> None:
    """Read by `detection_settings_from`."""
    group = parser.add_argument_group("instead of what the checkpoint's test settings say")
    group.add_argument(
        "--scale",
        type=scale,
        metavar="LONGxSHORT",
        help="pixels an image is resized to fit, keeping its ratio, such as 800x480: smaller is faster and finds fewer "
        "small objects; vfnet bench scales measures both",
    )
    group.add_argument(
        "--score-threshold",
        type=fraction,
        metavar="SCORE",
        help="no detection scores less; a request can only raise it",
    )
    group.add_argument(
        "--nms-iou",
        type=fraction,
        metavar="IOU",
        help="of two boxes of a class that overlap more, the better one stays",
    )
    group.add_argument("--max-detections", type=box_count, metavar="N", help="of an image")
    group.add_argument(
        "--nms-pre", type=at_least_one, metavar="N", help="candidates of each pyramid level that go on to suppression"
    )


def requested_settings(settings: DetectionSettings) -> DetectionOptions:
    """What of them a request may choose itself, of a server whose model was built otherwise.

    Raises:
        CommandError: the others.
    """
    if built := only_built(settings):
        raise CommandError(f"{built}: only for --checkpoint; a server's model was built with its own (vfnet build)")
    return per_request(settings)


def per_request(settings: DetectionSettings) -> DetectionOptions:
    """Those that a request may choose itself."""
    return DetectionOptions.chosen(
        score_threshold=settings.score_threshold, nms_iou=settings.nms_iou, max_detections=settings.max_detections
    )


def only_built(settings: DetectionSettings) -> DetectionSettings:
    """The others, which a model has from its build."""
    return replace(settings, score_threshold=None, nms_iou=None, max_detections=None)


def detection_settings_from(arguments: argparse.Namespace) -> DetectionSettings:
    """What was given of `add_detection_arguments`."""
    return DetectionSettings(
        scale=arguments.scale,
        score_threshold=arguments.score_threshold,
        nms_iou=arguments.nms_iou,
        max_detections=arguments.max_detections,
        nms_pre=arguments.nms_pre,
    )

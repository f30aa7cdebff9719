"""Triton model configurations (`config.pbtxt`): read a template, set parameters, write, all typed.

Parsed with Triton's own protobuf schema, so that a field Triton does not know fails here and not at start.
"""

from __future__ import annotations

from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from vfnet_build.architecture.config import VFNetConfig


def configure(template: Path, target: Path, parameters: dict[str, str]) -> None:
    """Write `template` to `target` with its parameters set.

    Raises:
        KeyError: a parameter the template does not name (a spelling mistake here or there).
        google.protobuf.text_format.ParseError: the template is not a model configuration.
    """
    config = text_format.Parse(template.read_text(encoding="utf-8"), model_config_pb2.ModelConfig())
    for key, value in parameters.items():
        if key not in config.parameters:
            raise KeyError(f"{template}: no parameter {key!r}")
        config.parameters[key].string_value = value
    target.write_text(text_format.MessageToString(config), encoding="utf-8")


def preprocess_parameters(config: VFNetConfig) -> dict[str, str]:
    """What `vfnet_preprocess` takes from the checkpoint."""
    return {
        "img_scale": ",".join(str(side) for side in config.preprocess.img_scale),
        "size_divisor": str(config.preprocess.size_divisor),
    }


def detector_parameters(engine: str, config: VFNetConfig, precision: str) -> dict[str, str]:
    """What an engine of `vfnet_detector` is told. Only OpenVINO's chooses candidates outside the network."""
    if engine != "openvino":
        return {"inference_precision": precision}
    return {
        "inference_precision": precision,
        "strides": ",".join(str(stride) for stride in config.head.strides),
        "point_offset": repr(config.head.point_offset),
        "nms_pre": str(config.test.nms_pre),
        "score_threshold": repr(config.test.score_threshold),
    }


def postprocess_parameters(config: VFNetConfig) -> dict[str, str]:
    """What `vfnet_postprocess` takes from the checkpoint."""
    return {
        "iou_threshold": repr(config.test.iou_threshold),
        "max_per_img": str(config.test.max_per_img),
    }

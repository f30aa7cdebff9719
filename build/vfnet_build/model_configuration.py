"""Triton model configurations (`config.pbtxt`): read a template, set parameters, write, all typed.

Parsed with Triton's own protobuf schema, so that a field Triton does not know fails here and not at start.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from vfnet_runtime.architecture.config import VFNetConfig
from vfnet_runtime.architecture.padding import default_canvases
from vfnet_tiling.parameters import parameters_of
from vfnet_tiling.tiling import Tiling

TRITONS_OWN = ("libtorch", "torch_aoti", "tensorrt")
"""Engines that are backends of Triton's, not Python models of ours."""


def configure(template: Path, target: Path, parameters: dict[str, str]) -> None:
    """Write `template` to `target` with its parameters set.

    Raises:
        KeyError: a parameter the template does not name (a spelling mistake here or there).
        google.protobuf.text_format.ParseError: the template is not a model configuration.
    """
    config = read_configuration(template)
    for key, value in parameters.items():
        if key not in config.parameters:
            raise KeyError(f"{template}: no parameter {key!r}")
        config.parameters[key].string_value = value
    write_configuration(config, target)


def read_configuration(path: Path) -> Any:
    """A `ModelConfig`.

    Raises:
        google.protobuf.text_format.ParseError: the file is no model configuration.
    """
    return text_format.Parse(path.read_text(encoding="utf-8"), model_config_pb2.ModelConfig())


def write_configuration(config: Any, path: Path) -> None:
    """Write a `ModelConfig`."""
    path.write_text(text_format.MessageToString(config), encoding="utf-8")


def rename_detector_tensors(config: Any, inputs: dict[str, str], outputs: dict[str, str]) -> None:
    """In the ensemble's `ModelConfig`, call the detector's tensors as its engine does; leave what it does not take."""
    (step,) = (step for step in config.ensemble_scheduling.step if step.model_name == "vfnet_detector")
    for name in set(step.input_map) - set(inputs):
        del step.input_map[name]
    for mapping, names in ((step.input_map, inputs), (step.output_map, outputs)):
        for name, other in names.items():
            mapping[other] = mapping.pop(name)


def preprocess_parameters(engine: str, config: VFNetConfig) -> dict[str, str]:
    """What `vfnet_preprocess` takes from the checkpoint, and from the engine: Triton's own batch equal sizes only."""
    fixed = engine in TRITONS_OWN
    return {
        "canvases": default_canvases(config.preprocess.img_scale) if fixed else "x32",
        "img_scale": ",".join(str(side) for side in config.preprocess.img_scale),
        "size_divisor": str(config.preprocess.size_divisor),
    }


def detector_parameters(engine: str, config: VFNetConfig, precision: str) -> dict[str, str]:
    """What an engine of `vfnet_detector` is told. Only OpenVINO's chooses candidates outside the network."""
    if engine in TRITONS_OWN:
        return {}  # it is in the file
    accepted = {name: preprocess_parameters(engine, config)[name] for name in ("img_scale", "size_divisor")}
    if engine == "noop":
        return accepted | {"candidates": str(_max_candidates(config))}
    if engine != "openvino":
        return accepted | {"inference_precision": precision}
    return accepted | {
        "inference_precision": precision,
        "strides": ",".join(str(stride) for stride in config.head.strides),
        "point_offset": repr(config.head.point_offset),
        "nms_pre": str(config.test.nms_pre),
        "score_threshold": repr(config.test.score_threshold),
    }


def postprocess_parameters(config: VFNetConfig, checkpoint_sha256: str, tiling: Tiling | None) -> dict[str, str]:
    """What `vfnet_postprocess` takes from the checkpoint."""
    return {
        "checkpoint": checkpoint_sha256,
        "trained_tiling": "" if tiling is None else json.dumps(parameters_of(tiling)),
        "max_candidates": str(_max_candidates(config)),
        "iou_threshold": repr(config.test.iou_threshold),
        "max_per_img": str(config.test.max_per_img),
    }


def _max_candidates(config: VFNetConfig) -> int:
    return len(config.head.strides) * config.test.nms_pre

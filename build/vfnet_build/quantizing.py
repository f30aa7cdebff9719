"""The 8-bit network of a build: calibrated on images, and accepted only if it detects as well as before."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vfnet_build.engines.openvino import NETWORK
from vfnet_build.engines.quantization import quantize
from vfnet_build.repository import ACCURACY, RepositoryError
from vfnet_client.atomic_files import write_inside
from vfnet_client.exceptions import CommandError, InvalidImageError
from vfnet_client.images import expand
from vfnet_client.json_log import say
from vfnet_data.dataset import DetectionDataset
from vfnet_data.reading import read_dataset
from vfnet_evaluate.agreement import agreement
from vfnet_evaluate.coco_evaluation import evaluate_detections
from vfnet_evaluate.sources import detect_with_network
from vfnet_model.checkpoints.demo import CALIBRATION_SCENES, DEMO_CHECKPOINT, VALIDATION_SCENES
from vfnet_model.detectors.image_detections import ImageDetections
from vfnet_model.detectors.network_detector import NetworkDetector
from vfnet_model.manifest import QuantizationOptions
from vfnet_runtime.architecture.config import VFNetConfig
from vfnet_runtime.engines.openvino_engine import OpenVINOEngine
from vfnet_runtime.resizing import ResizedImage

_ANNOTATIONS = "annotations.json"


@dataclass(frozen=True)
class QuantizationData:
    """What the network is calibrated on, and what it is judged by."""

    calibration: tuple[Path, ...]
    """Images."""
    validation: DetectionDataset


@dataclass(frozen=True)
class Accuracy:
    """Of the validation images, by the engine that serves."""

    images: int
    ap_f32: float
    ap_int8: float
    """Box AP as COCO computes it, 0 to 1."""
    agreement: float
    """Share of the float32 boxes that score above 0.3 and are found again: same class, IoU at least 0.9."""

    def __str__(self) -> str:
        return (
            f"AP on {self.images} images: f32 {self.ap_f32:.4f}, int8 {self.ap_int8:.4f}; "
            f"{self.agreement:.1%} of the f32 boxes above 0.3 found again at IoU 0.9"
        )


def read_quantization_data(options: QuantizationOptions, checkpoint: Path) -> QuantizationData:
    """What the options name; the scenes that come with the demonstration checkpoint, where they name nothing.

    Raises:
        RepositoryError: images or annotations are missing.
        DatasetError: the annotations are wrong.
    """
    if options.calibration is None and options.validation is None and checkpoint == DEMO_CHECKPOINT:
        return _demonstration_data()
    if options.calibration is None or options.validation is None:
        raise RepositoryError(
            "int8 needs typical images (--calibration FOLDER, some dozens) and annotated ones to compare the accuracy "
            "before and after (--validation ANNOTATIONS, with --validation-images FOLDER)"
        )
    try:
        found = [source.location for source in expand([options.calibration]) if isinstance(source.location, Path)]
    except CommandError as error:
        raise RepositoryError(f"--calibration {error}") from error
    images = None if options.validation_images is None else Path(options.validation_images)
    validation = read_dataset(Path(options.validation), images)
    for note in validation.notes:
        _say(note)
    step = max(1, len(found) // options.calibration_images)  # spread over the folder
    return QuantizationData(tuple(found[::step][: options.calibration_images]), validation)


def quantize_checked(
    config: VFNetConfig, directory: Path, data: QuantizationData, options: QuantizationOptions
) -> Accuracy:
    """Quantize the network in `directory` and see what it costs.

    Args:
        directory: `vfnet_detector/1` with the exported float32 network.

    Raises:
        RepositoryError: AP falls by more than `options.max_ap_drop`, or no calibration image can be read.
    """
    _say(f"detecting in {len(data.validation.images)} validation images, float32")
    before = _detect(config, directory, "f32", data.validation)
    _say(f"calibrating 8-bit integers on {len(data.calibration)} images")
    detector = NetworkDetector(config, lambda _pixels, _valid_shape: [])  # only prepares
    quantize(directory, [(image.pixels, image.valid_shape) for image in _prepared(detector, data.calibration)])
    _say("detecting again, int8")
    after = _detect(config, directory, "int8", data.validation)
    accuracy = Accuracy(
        images=len(data.validation.images),
        ap_f32=evaluate_detections(data.validation, before).ap,
        ap_int8=evaluate_detections(data.validation, after).ap,
        agreement=agreement(before, after).share,
    )
    _say(str(accuracy))
    if accuracy.ap_f32 - accuracy.ap_int8 > options.max_ap_drop:
        lost = accuracy.ap_f32 - accuracy.ap_int8
        raise RepositoryError(
            f"int8 loses {lost:.4f} of AP, more than --max-ap-drop {options.max_ap_drop:g}: "
            "calibrate with more images like those that will be served, allow more, or build with --precision bf16"
        )
    return accuracy


def write_accuracy(accuracy: Accuracy, repository: Path) -> None:
    """For those who wonder later."""
    write_inside(repository / ACCURACY, json.dumps(asdict(accuracy), indent=2).encode() + b"\n")


def _demonstration_data() -> QuantizationData:
    calibration, validation = (
        read_dataset(folder / _ANNOTATIONS, folder) for folder in (CALIBRATION_SCENES, VALIDATION_SCENES)
    )
    return QuantizationData(tuple(image.path for image in calibration.images), validation)


def _detect(config: VFNetConfig, directory: Path, precision: str, dataset: DetectionDataset) -> list[ImageDetections]:
    """By the engine that serves."""
    engine = OpenVINOEngine(directory / NETWORK, precision)

    def predict(pixels: NDArray[np.uint8], valid_shape: NDArray[np.int32]) -> list[NDArray[np.float32]]:
        return [output[0] for output in engine.compute(pixels, valid_shape)]

    try:
        return detect_with_network(dataset, NetworkDetector(config, predict)).detections
    finally:
        engine.close()


def _prepared(detector: NetworkDetector, paths: Sequence[Path]) -> list[ResizedImage]:
    prepared = []
    for path in paths:
        try:
            prepared.append(detector.prepare(path))
        except InvalidImageError as error:
            _say(f"{path}: {error}")
    if not prepared:
        raise RepositoryError("not one image to calibrate with can be read")
    return prepared


def _say(message: str) -> None:
    say("vfnet build", message)

"""`vfnet build`: a checkpoint -> a model repository."""

from __future__ import annotations

import argparse
from pathlib import Path

from vfnet.commands.detection_settings import add_detection_arguments, detection_settings_from
from vfnet_build.engine_names import ENGINE_PRECISIONS, PRECISIONS
from vfnet_client.commands.options import at_least_one, fraction, public_name
from vfnet_client.model_names import MODEL
from vfnet_model.checkpoints.class_names import read_class_list
from vfnet_model.manifest import BuildOptions, Manifest, QuantizationOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet build`."""
    add_checkpoint_arguments(parser)
    parser.add_argument(
        "--repository", type=Path, required=True, metavar="DIR", help="folder to write the model repository to"
    )
    parser.add_argument(
        "--name",
        type=public_name,
        default=MODEL,
        metavar="NAME",
        help="what callers call the model; a folder may hold several, of different names (default: %(default)s)",
    )
    parser.add_argument("--force", action="store_true", help="build even if the repository is up to date")


def add_checkpoint_arguments(parser: argparse.ArgumentParser) -> None:
    """What to build, shared with `vfnet up` and `vfnet bench`."""
    parser.add_argument(
        "--checkpoint",
        default="demo",
        metavar="FILE|FOLDER|URL|coco|demo",
        help="a VFNet checkpoint of mmdet 2.x or 3.x, or the folder that AzureML's fine-tuning left; "
        "coco: OpenMMLab's published one; demo: needs no network (default)",
    )
    parser.add_argument(
        "--architecture",
        metavar="NAME",
        help="for a checkpoint without meta: the stock configuration it was trained with, "
        "such as vfnet_r50_fpn_mdconv_c3-c5_mstrain_2x_coco",
    )
    parser.add_argument(
        "--classes", type=Path, metavar="FILE", help="for a checkpoint without meta: class names, one a line"
    )
    parser.add_argument(
        "--accept-preprocessing",
        action="store_true",
        help="for AzureML's folders: build although images are prepared MMDetection's way, not AzureML's",
    )
    add_detection_arguments(parser)
    _add_precision_arguments(parser)


def _add_precision_arguments(parser: argparse.ArgumentParser) -> None:
    default = QuantizationOptions()
    parser.add_argument(
        "--engine",
        nargs="+",
        choices=ENGINE_PRECISIONS,
        default=["openvino"],
        metavar="NAME",
        help="what computes the network: openvino (default; CPUs), torch (GPUs), libtorch or tensorrt (in NVIDIA's "
        "server image); of several the first serves, and vfnet serve --model-config-name chooses another",
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="f32",
        help="what the engine computes in (default: f32, MMDetection's boxes; openvino: bf16, int8; torch: bf16, fp16; "
        "libtorch, tensorrt: fp16)",
    )
    parser.add_argument(
        "--calibration", type=Path, metavar="FOLDER", help="for int8: typical images; demo: rendered scenes"
    )
    parser.add_argument(
        "--calibration-images",
        type=at_least_one,
        default=default.calibration_images,
        metavar="N",
        help="for int8: at most so many of them (default: %(default)s)",
    )
    parser.add_argument(
        "--validation",
        type=Path,
        metavar="FILE|FOLDER",
        help="for int8 and tensorrt: annotations of the images on which accuracy is compared; COCO JSON, AutoML JSONL, "
        "Pascal VOC",
    )
    parser.add_argument(
        "--validation-images",
        type=Path,
        metavar="FOLDER",
        help="for int8 and tensorrt: their images (default: near the annotations)",
    )
    parser.add_argument(
        "--max-ap-drop",
        type=fraction,
        default=default.max_ap_drop,
        metavar="SHARE",
        help="for int8: refuse to write a repository that loses more of AP, 0 to 1 (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Build; 0."""
    build_from(arguments, arguments.repository, force=arguments.force, model=arguments.name)
    return 0


def build_from(arguments: argparse.Namespace, repository: Path, *, force: bool = False, model: str = MODEL) -> bool:
    """Build what the options name; whether anything had to be done. Raises what `build` raises."""
    from vfnet_build.building import build  # torch, which takes seconds to import

    classes = arguments.classes
    return build(
        arguments.checkpoint,
        repository,
        options_from(arguments),
        architecture=arguments.architecture,
        classes=None if classes is None else read_class_list(classes),
        accept_preprocessing=arguments.accept_preprocessing,
        validation=_validation_from(arguments),
        force=force,
        model=model,
    )


def planned_from(arguments: argparse.Namespace) -> Manifest:
    """What `build_from` would leave. Raises what `planned` raises."""
    from vfnet_build.building import planned  # torch, which takes seconds to import

    classes = arguments.classes
    return planned(
        arguments.checkpoint,
        options_from(arguments),
        architecture=arguments.architecture,
        classes=None if classes is None else read_class_list(classes),
        accept_preprocessing=arguments.accept_preprocessing,
    )


def options_from(arguments: argparse.Namespace) -> BuildOptions:
    """What to build with, of `add_checkpoint_arguments`."""
    engine, *others = arguments.engine
    detection = detection_settings_from(arguments)
    if arguments.precision != "int8":
        return BuildOptions(engine, arguments.precision, tuple(others), detection=detection)
    paths = {
        name: None if (path := getattr(arguments, name)) is None else str(path.absolute())
        for name in ("calibration", "validation", "validation_images")
    }
    quantization = QuantizationOptions(
        **paths, calibration_images=arguments.calibration_images, max_ap_drop=arguments.max_ap_drop
    )
    return BuildOptions(engine, arguments.precision, tuple(others), quantization, detection)


def _validation_from(arguments: argparse.Namespace) -> tuple[Path, Path] | None:
    """Annotations and images for engines that must prove their accuracy."""
    if arguments.validation is None:
        return None
    return arguments.validation, arguments.validation_images or arguments.validation.parent

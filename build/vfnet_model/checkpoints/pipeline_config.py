"""From an mmdet test pipeline to a `PreprocessConfig`."""

from __future__ import annotations

from typing import Any

from vfnet_model.checkpoints.errors import UnsupportedModelError
from vfnet_model.checkpoints.settings import LIMITS, Settings, freeze, shorten
from vfnet_runtime.architecture.config import PreprocessConfig

_CHANGE_PIXELS = ("Resize", "Normalize", "Pad")
_CHANGE_NOTHING = ("RandomFlip", "DefaultFormatBundle", "ImageToTensor", "Collect")
_LOADERS = ("LoadImageFromFile", "LoadImageFromWebcam")
_PADDING = 32
LEAST_STD = 1e-6
"""Less would make infinities of pixels."""


def read_preprocess(config: dict[str, Any]) -> PreprocessConfig:
    """Understand the pipeline that `inference_detector` runs: `data.test.pipeline`, else `test_pipeline`.

    Raises:
        UnsupportedModelError: naming the setting, the value found and what is supported.
    """
    model = config.get("model")
    if isinstance(model, dict) and "data_preprocessor" in model:
        return _read_modern(Settings(model["data_preprocessor"], "model.data_preprocessor"), config)
    steps, where = _find_pipeline(config)
    loaders, augmentation = steps[:-1], steps[-1]
    for step in loaders:
        step.one_of("type", _LOADERS)
        _check_loader(step)
    augmentation.one_of("type", ("MultiScaleFlipAug",))
    augmentation.one_of("flip", (False,), False)
    augmentation.ignore("flip_direction")
    img_scale = _read_img_scale(augmentation)
    transforms = _steps(augmentation.take("transforms"), f"{where}.transforms")
    augmentation.finish()

    by_type: dict[str, Settings] = {}
    for transform in transforms:
        name = transform.one_of("type", _CHANGE_PIXELS + _CHANGE_NOTHING)
        if name in _CHANGE_PIXELS:
            by_type[name] = transform
    if tuple(by_type) != _CHANGE_PIXELS:
        found = ", ".join(by_type)
        raise UnsupportedModelError(f"{where}.transforms has [{found}]; supported: [{', '.join(_CHANGE_PIXELS)}]")
    _check_resize(by_type["Resize"])
    mean, std, to_rgb = _read_normalize(by_type["Normalize"])
    return PreprocessConfig(img_scale, mean, std, to_rgb, _read_pad(by_type["Pad"]))


def _read_modern(preprocessor: Settings, config: dict[str, Any]) -> PreprocessConfig:
    """mmdet 3.x: the pipeline resizes, `DetDataPreprocessor` normalises and pads."""
    steps, where = _find_pipeline(config)
    img_scale = None
    for step in steps:
        match step.one_of("type", ("LoadImageFromFile", "Resize", "LoadAnnotations", "PackDetInputs")):
            case "LoadImageFromFile":
                _check_loader(step)
            case "Resize":
                if img_scale is not None:
                    raise UnsupportedModelError(f"{where} resizes twice; supported: once")
                scale = step.take("scale")
                img_scale = _read_scale(step, "scale", (scale, scale) if type(scale) is int else scale)
                step.ignore("clip_object_border")
                step.only("scale_factor", None)
                _check_resize(step)
    if img_scale is None:
        raise UnsupportedModelError(f"{where} has no Resize; supported: [LoadImageFromFile, Resize, PackDetInputs]")
    preprocessor.one_of("type", ("DetDataPreprocessor",))
    mean, std = _read_mean_and_std(preprocessor)
    size_divisor = preprocessor.integer("pad_size_divisor", 1)
    if size_divisor % _PADDING:
        preprocessor.refuse("pad_size_divisor", size_divisor, f"multiples of {_PADDING}")
    preprocessor.only("pad_value", 0)
    swapped = [preprocessor.flag(key, False) for key in ("bgr_to_rgb", "rgb_to_bgr")]  # mmengine: the same swap
    preprocessor.ignore("pad_mask", "mask_pad_value", "pad_seg", "seg_pad_value", "boxtype2tensor", "non_blocking")
    preprocessor.only("batch_augments", None)
    preprocessor.finish()
    return PreprocessConfig(img_scale, mean, std, any(swapped), size_divisor)


def _find_pipeline(config: dict[str, Any]) -> tuple[list[Settings], str]:
    loader = config.get("test_dataloader")
    modern = loader.get("dataset") if isinstance(loader, dict) else None
    if isinstance(modern, dict) and "pipeline" in modern:
        where = "test_dataloader.dataset.pipeline"
        return _steps(modern["pipeline"], where), where
    data = config.get("data")
    test = data.get("test") if isinstance(data, dict) else None
    if isinstance(test, dict) and "pipeline" in test:
        return _steps(test["pipeline"], "data.test.pipeline"), "data.test.pipeline"
    if "test_pipeline" in config:
        return _steps(config["test_pipeline"], "test_pipeline"), "test_pipeline"
    raise UnsupportedModelError("the config has neither data.test.pipeline nor test_pipeline")


def _steps(value: object, where: str) -> list[Settings]:
    frozen = freeze(value)
    if not isinstance(frozen, tuple) or not frozen:
        raise UnsupportedModelError(f"{where} is {shorten(value)}; expected is a list of dicts")
    return [Settings(step, f"{where}[{index}]") for index, step in enumerate(frozen)]


def _check_loader(settings: Settings) -> None:
    settings.only("to_float32", False)
    settings.only("color_type", "color")
    settings.only("channel_order", "bgr")
    settings.only("imdecode_backend", "cv2", None)
    settings.only("ignore_empty", False)
    settings.ignore("file_client_args", "backend_args")
    settings.finish()


def _read_img_scale(settings: Settings) -> tuple[int, int]:
    return _read_scale(settings, "img_scale", settings.take("img_scale", None))


def _read_scale(settings: Settings, key: str, value: Any) -> tuple[int, int]:
    scale = value[0] if type(value) is tuple and len(value) == 1 else value
    if type(scale) is not tuple or len(scale) != 2 or any(type(s) is not int or s not in LIMITS[key] for s in scale):
        settings.refuse(key, value, f"one (long side, short side) in pixels, each from {LIMITS[key]}")
    return max(scale), min(scale)


def _check_resize(settings: Settings) -> None:
    settings.only("keep_ratio", True)
    settings.only("backend", "cv2")
    settings.only("interpolation", "bilinear")
    settings.only("override", False)
    # The scale comes from MultiScaleFlipAug, whatever stands here.
    settings.ignore("img_scale", "multiscale_mode", "ratio_range", "bbox_clip_border")
    settings.finish()


def _read_normalize(settings: Settings) -> tuple[tuple[float, ...], tuple[float, ...], bool]:
    mean, std = _read_mean_and_std(settings)
    to_rgb = settings.flag("to_rgb", True)
    settings.finish()
    return mean, std, to_rgb


def _read_mean_and_std(settings: Settings) -> tuple[tuple[float, ...], tuple[float, ...]]:
    mean, std = settings.numbers("mean", 3), settings.numbers("std", 3)
    if min(std) < LEAST_STD:
        settings.refuse("std", std, f"three numbers of at least {LEAST_STD}")
    return mean, std


def _read_pad(settings: Settings) -> int:
    size_divisor = settings.integer("size_divisor")
    if size_divisor % _PADDING:
        settings.refuse("size_divisor", size_divisor, f"multiples of {_PADDING}")
    settings.only("size", None)
    settings.only("pad_to_square", False)
    padding = settings.take("pad_val", 0)
    if (padding.get("img", 0) if isinstance(padding, dict) else padding) != 0:
        settings.refuse("pad_val", padding, "0")
    settings.finish()
    return size_divisor

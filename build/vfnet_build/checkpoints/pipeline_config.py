"""From an mmdet 2.x test pipeline to a `PreprocessConfig`."""

from __future__ import annotations

from typing import Any

from vfnet_build.architecture.config import PreprocessConfig
from vfnet_build.checkpoints.errors import UnsupportedModelError
from vfnet_build.checkpoints.settings import Settings, freeze, shorten

_CHANGE_PIXELS = ("Resize", "Normalize", "Pad")
_CHANGE_NOTHING = ("RandomFlip", "DefaultFormatBundle", "ImageToTensor", "Collect")
_LOADERS = ("LoadImageFromFile", "LoadImageFromWebcam")
_PADDING = 32


def read_preprocess(config: dict[str, Any]) -> PreprocessConfig:
    """Understand the pipeline that `inference_detector` runs: `data.test.pipeline`, else `test_pipeline`.

    Raises:
        UnsupportedModelError: naming the setting, the value found and what is supported.
    """
    steps, where = _find_pipeline(config)
    loaders, augmentation = steps[:-1], steps[-1]
    for step in loaders:
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


def _find_pipeline(config: dict[str, Any]) -> tuple[list[Settings], str]:
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
    settings.one_of("type", _LOADERS)
    settings.only("to_float32", False)
    settings.only("color_type", "color")
    settings.only("channel_order", "bgr")
    settings.ignore("file_client_args")
    settings.finish()


def _read_img_scale(settings: Settings) -> tuple[int, int]:
    value = settings.take("img_scale", None)
    scale = value[0] if type(value) is tuple and len(value) == 1 else value
    if type(scale) is not tuple or len(scale) != 2 or any(type(side) is not int or side < 1 for side in scale):
        settings.refuse("img_scale", value, "one (long side, short side) in pixels")
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
    def three(key: str) -> tuple[float, ...]:
        value = settings.take(key)
        if type(value) is not tuple or [type(item) in (int, float) for item in value] != [True] * 3:
            settings.refuse(key, value, "three numbers")
        return tuple(float(item) for item in value)

    mean, std = three("mean"), three("std")
    if min(std) <= 0:
        settings.refuse("std", std, "three positive numbers")
    to_rgb = settings.flag("to_rgb", True)
    settings.finish()
    return mean, std, to_rgb


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

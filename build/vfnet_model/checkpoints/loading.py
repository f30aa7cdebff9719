"""From a checkpoint file to its config and weights, and from those to the network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vfnet_client.safe_text import printable_line
from vfnet_model.checkpoints.class_names import check_class_names
from vfnet_model.checkpoints.config_text import parse_config_text
from vfnet_model.checkpoints.errors import CheckpointError, ConfigTextError, UnsupportedModelError
from vfnet_model.checkpoints.model_config import read_model_config
from vfnet_model.checkpoints.pickle_data import NumpyArray, Opaque, TensorRecord
from vfnet_model.checkpoints.settings import MAX_PARAMETERS, shorten
from vfnet_model.checkpoints.stock import (
    ARCHITECTURES,
    DEFAULT_STOCK,
    StockCheckpoint,
    architecture_named,
    stock_checkpoint_named,
)
from vfnet_model.checkpoints.torch_file import TorchFile, open_torch_file
from vfnet_runtime.architecture.config import BackboneConfig, VFNetConfig
from vfnet_runtime.architecture.vfnet import VFNet
from vfnet_tiling.parameters import recorded_tiling
from vfnet_tiling.tiling import Tiling

_CLASS_WEIGHT = "bbox_head.vfnet_cls.weight"  # [num_classes, feat_channels, 3, 3]
_WRAPPERS = ("module.", "model.")
_EXAMPLES = 3
_FLOATING = ("float32", "float64", "float16", "bfloat16")
_COUNTING = (*_FLOATING, "int64", "int32", "int16", "int8", "uint8")
Weights = dict[str, TensorRecord]
"""By plain names: what the file claims of each tensor."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that has been checked: `state_dict` fits the network of `config` key by key."""

    config: VFNetConfig
    state_dict: dict[str, Tensor]
    """mmdet's keys; weights as float32, counts as int64, all finite, on the CPU."""
    path: Path
    sha256: str
    """Of the file, 64 hex digits."""
    description: str
    """One line for people: which network, which classes, where the settings come from."""
    untrained: bool
    """It says so itself (`meta['untrained']`): what it detects means nothing."""
    tiling: Tiling | None = None
    """It says so itself (`meta['tiling']`): it was trained in such tiles of each image, too."""


def load_checkpoint(
    path: Path,
    *,
    architecture: str | None = None,
    classes: Sequence[str] | None = None,
    config_text: str | None = None,
) -> Checkpoint:
    """Read an mmdet 2.x or 3.x VFNet checkpoint, or a bare state dict of one.

    Whoever made the file need not be trusted. First its data are read and its shapes are compared with the network's,
    then its numbers, those of the network only. Memory: the network's weights, at most `MAX_PARAMETERS`, and once more
    the largest of them; bounds of the file itself are `torch_file`'s and `pickle_data`'s.

    Args:
        path: the file. A published file is recognised by name and hash and needs no metadata.
        architecture: a name in `ARCHITECTURES` or mmdet 3's for one: build that, whatever config the file holds.
        classes: class names in label order, instead of those in the file.
        config_text: an mmdet config that lies beside the file, instead of the one in it.

    Raises:
        CheckpointError: the file is no such checkpoint, or not one that can be built.
    """
    if architecture is not None and architecture_named(architecture) is None:
        raise CheckpointError(f"there is no architecture {architecture!r}; known are: {', '.join(ARCHITECTURES)}")
    with open_torch_file(path) as file:
        stock = _recognise(path, file.sha256)
        weights, meta = _split(file.payload, path)
        if config_text is not None:
            meta["config"] = config_text
        num_classes = _count_classes(weights, meta, path)
        published = stock is not None and architecture is None
        found = stock.config.classes if stock is not None and published else _classes_of(meta)
        names = _check_classes(found if classes is None else classes, num_classes, path)
        if stock is not None and published:
            config, source = replace(stock.config, classes=names), f"published as {stock.stem}"
        else:
            config, source = _configure(meta, architecture, names, path)
        _check_fit(weights, config, path)
        state_dict = {key: _read(file, key, record) for key, record in weights.items()}
        untrained, tiling = meta.get("untrained") is True, recorded_tiling(meta.get("tiling"))
        description = _describe(config, source, untrained, tiling)
        return Checkpoint(config, state_dict, path, file.sha256, description, untrained, tiling)


def build_network(checkpoint: Checkpoint) -> VFNet:
    """The network with the checkpoint's weights, in evaluation mode, on the CPU."""
    with torch.device("meta"):  # nothing is drawn at random to be written over
        network = VFNet(checkpoint.config)
    network.to_empty(device="cpu").load_state_dict(checkpoint.state_dict, strict=True)
    return network.eval()


def _recognise(path: Path, sha256: str) -> StockCheckpoint | None:
    stock = stock_checkpoint_named(path.name)
    if stock is not None and not sha256.startswith(stock.sha256_prefix):
        raise CheckpointError(
            f"{path} bears the name of a published file whose SHA-256 begins {stock.sha256_prefix}, but its own begins "
            f"{sha256[:8]}: it is damaged or another file. Download it again, or rename it if it is your own"
        )
    return stock


def _split(payload: object, path: Path) -> tuple[Weights, dict[str, Any]]:
    """The weights under plain names, and the metadata ({} if there is none)."""
    meta: object = {}
    weights = payload
    if isinstance(payload, Mapping) and isinstance(payload.get("state_dict"), Mapping):
        weights, meta = payload["state_dict"], payload.get("meta") or {}
    if not isinstance(weights, Mapping) or not any(isinstance(value, TensorRecord) for value in weights.values()):
        holds = f"a dict of {_some(weights)}" if isinstance(weights, Mapping) else f"a {_kind(payload)}"
        raise CheckpointError(f"{path} holds {holds}; expected are {{'state_dict': ..., 'meta': ...}} or bare weights")
    plain: Weights = {}
    prefix = _wrapper_prefix(weights)
    for key, value in weights.items():
        if not isinstance(key, str) or not isinstance(value, TensorRecord):
            raise CheckpointError(f"{path}: the state dict's {shorten(key)} is a {_kind(value)}; expected is a tensor")
        if not key.startswith("ema_"):  # mmcv's EMAHook: the averaged weights already stand under the plain names
            plain[key.removeprefix(prefix)] = value
    return plain, dict(meta) if isinstance(meta, Mapping) else {}


def _kind(value: object) -> str:
    match value:
        case TensorRecord():
            return "Tensor"
        case Opaque(kind=kind):
            return kind
    return type(value).__name__


def _wrapper_prefix(weights: Mapping[Any, Any]) -> str:
    """What wrappers put before every name: `module.` (DataParallel), `model.` (AzureML's), one around the other."""
    prefix = ""
    names = [key for key in weights if isinstance(key, str) and not key.startswith("ema_")]
    while wrapper := next((w for w in _WRAPPERS if all(name.startswith(prefix + w) for name in names)), ""):
        prefix += wrapper
    return prefix


def _count_classes(state_dict: Weights, meta: dict[str, Any], path: Path) -> int:
    weight = state_dict.get(_CLASS_WEIGHT)
    if weight is not None and len(weight.shape) == 4:
        return weight.shape[0]
    other = _detector_type(meta)
    raise CheckpointError(
        f"{path} is no VFNet checkpoint: "
        + (f"its config says {other!r}" if other else f"it has no {_CLASS_WEIGHT}, but {_some(state_dict)}")
    )


def _detector_type(meta: dict[str, Any]) -> str | None:
    """`model.type` of another detector's config, if it can be read."""
    try:
        text = _config_text(meta)
        model = parse_config_text(text if isinstance(text, str) else "").get("model")
    except ConfigTextError:
        return None
    name = model.get("type") if isinstance(model, dict) else None
    return printable_line(name, 80) if isinstance(name, str) and name.removeprefix("mmdet.") != "VFNet" else None


def _config_text(meta: dict[str, Any]) -> Any:
    """mmdet 2.x calls it `config`, mmengine (mmdet 3.x) `cfg`."""
    return meta.get("config") or meta.get("cfg")


def _classes_of(meta: dict[str, Any]) -> Any:
    """Class names: mmdet 2.x's `CLASSES`; in mmdet 3.x within `dataset_meta`, in either case."""
    dataset_meta = meta.get("dataset_meta")
    sources = [meta, dataset_meta] if isinstance(dataset_meta, Mapping) else [meta]
    names = (source.get(key) for source in sources for key in ("CLASSES", "classes"))
    return next((found for found in names if found is not None), None)


def _check_classes(found: Any, num_classes: int, path: Path) -> tuple[str, ...]:
    texts = found.texts() if isinstance(found, NumpyArray) else found
    names = list(texts) if isinstance(texts, (list, tuple)) else [texts]
    if found is None or not names:
        raise CheckpointError(f"{path} does not name its {num_classes} classes; give their names (--classes)")
    if any(not isinstance(name, str) for name in names):
        raise CheckpointError(f"{path}: class names must be texts; found {_some(names)}")
    if len(names) != num_classes:
        raise CheckpointError(f"{path} has {num_classes} classes, but {len(names)} names: {_some(names)}")
    return check_class_names(names, path)


def _configure(
    meta: dict[str, Any], architecture: str | None, classes: tuple[str, ...], path: Path
) -> tuple[VFNetConfig, str]:
    """The config by the architecture's name, else from the metadata; and in words where it comes from."""
    if architecture is not None:
        config = architecture_named(architecture)
        assert config is not None  # the name has been checked
        head = replace(config.head, num_classes=len(classes))
        return replace(config, classes=classes, head=head), f"settings of {architecture}"
    text = _config_text(meta)
    name_it = f"give its architecture by name (--architecture, such as {DEFAULT_STOCK.stem})"
    if not isinstance(text, str):
        raise CheckpointError(f"{path} holds no mmdet config (meta['config'] of 2.x, meta['cfg'] of 3.x); {name_it}")
    try:
        return read_model_config(parse_config_text(text), classes), "settings from its own config"
    except ConfigTextError as error:
        raise ConfigTextError(f"{path}: {error}. If the network is a usual one, {name_it}") from None
    except UnsupportedModelError as error:
        raise UnsupportedModelError(f"{path}: {error}") from None


def _check_fit(weights: Weights, config: VFNetConfig, path: Path) -> None:
    """Names, shapes and types of the numbers against the network's, before a number is read."""
    expected = _expected_shapes(config, path)
    problems = []
    if missing := [key for key in expected if key not in weights]:
        problems.append(f"lacks {_some(missing)}")
    if unexpected := [key for key in weights if key not in expected]:
        problems.append(f"has {_some(unexpected)}, which the network does not")
    for key in expected.keys() & weights.keys():
        if expected[key] != weights[key].shape:
            shapes = f"{list(weights[key].shape)} where {list(expected[key])} is expected"
            problems.append(f"has {key} of shape {shapes}")
    if problems:
        more = len(problems) - _EXAMPLES
        listed = "; ".join(sorted(problems)[:_EXAMPLES]) + (f"; and {more} more" if more > 0 else "")
        raise CheckpointError(f"{path} does not fit its architecture, {_describe_network(config)}: it {listed}")
    for key, record in weights.items():
        supported = _COUNTING if _is_count(key) else _FLOATING
        if record.dtype not in supported:
            raise CheckpointError(f"{path}: {key} is of {record.dtype}; supported: {', '.join(supported)}")


def _expected_shapes(config: VFNetConfig, path: Path) -> dict[str, tuple[int, ...]]:
    try:
        with torch.device("meta"):  # shapes only
            network = VFNet(config)
    except (ValueError, RuntimeError, ArithmeticError) as error:
        reason = printable_line(str(error))
        raise UnsupportedModelError(
            f"{path}: its settings contradict each other, {_describe_network(config)}: {reason}"
        ) from None
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    if (count := sum(math.prod(shape) for shape in shapes.values())) > MAX_PARAMETERS:
        raise UnsupportedModelError(
            f"{path} asks for a network of {count:,} parameters, {_describe_network(config)}; at most "
            f"{MAX_PARAMETERS:,} are supported"
        )
    return shapes


def _is_count(key: str) -> bool:
    return key.endswith(".num_batches_tracked")


def _read(file: TorchFile, key: str, record: TensorRecord) -> Tensor:
    """One weight, finite."""
    kept = file.tensor(record)
    value = kept.float()
    if not torch.isfinite(value.sum(dtype=torch.float64)):  # which finite float32 cannot exceed
        raise CheckpointError(f"{file.path}: {key} holds values that are not finite; did the training diverge?")
    if key.endswith(".running_var") and value.min() < 0:
        raise CheckpointError(f"{file.path}: {key} holds negative variances; the file is damaged")
    return kept.long() if _is_count(key) else value


def _describe(config: VFNetConfig, source: str, untrained: bool, tiling: Tiling | None) -> str:
    classes = f"{len(config.classes)} class{'es' if len(config.classes) > 1 else ''}"
    warning = "UNTRAINED, its boxes mean nothing: " if untrained else ""
    tiles = "" if tiling is None else f", trained in tiles ({tiling})"
    return f"{warning}{_describe_network(config)}, {classes}, {source}{tiles}"


def _describe_network(config: VFNetConfig) -> str:
    stages = [f"c{stage + 2}" for stage, with_dcn in enumerate(config.backbone.stage_with_dcn) if with_dcn]
    deformable = f" with DCNv2 in {'-'.join(dict.fromkeys((stages[0], stages[-1])))}" if stages else ""
    return f"VFNet {_describe_backbone(config.backbone)}{deformable}"


def _describe_backbone(backbone: BackboneConfig) -> str:
    name = f"{backbone.type}-{backbone.depth}"
    match backbone.type:
        case "ResNeXt":
            return f"{name} {backbone.groups}x{backbone.base_width}d"
        case "Res2Net":
            return f"{name} {backbone.base_width}w {backbone.scales}s"
    return f"{name}d" if backbone.deep_stem and backbone.avg_down else name


def _some(items: object) -> str:
    """The first few of many, readable. Values of a file may share parts of themselves: none is written out in full."""
    if not isinstance(items, (Mapping, Sequence)) or not items:
        return "nothing"
    names = [shorten(item) for _, item in zip(range(_EXAMPLES), items, strict=False)]
    more = len(items) - _EXAMPLES
    return ", ".join(names) + (f" and {more} more" if more > 0 else "")

"""From what a person types as a checkpoint to the checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vfnet_client.cache import default_cache_dir
from vfnet_model.checkpoints.azureml_folder import load_azureml_folder
from vfnet_model.checkpoints.demo import DEMO_CHECKPOINT
from vfnet_model.checkpoints.download import fetch
from vfnet_model.checkpoints.errors import CheckpointError
from vfnet_model.checkpoints.loading import Checkpoint, load_checkpoint
from vfnet_model.checkpoints.stock import DEFAULT_STOCK


def open_checkpoint(
    spec: str,
    *,
    architecture: str | None = None,
    classes: Sequence[str] | None = None,
    accept_preprocessing: bool = False,
    cache_dir: Path | None = None,
    progress: bool = True,
) -> Checkpoint:
    """Get and read a checkpoint.

    Args:
        spec: a file's path; a folder that AzureML's fine-tuning left; an http(s) URL; `coco`, the published R50 with
            DCNv2 (downloaded once); or `demo`, the one kept beside this code. A file of such a name is `./coco`.
        architecture: see `load_checkpoint`.
        classes: see `load_checkpoint`.
        accept_preprocessing: see `load_azureml_folder`.
        cache_dir: where downloads are kept; None is `default_cache_dir()`.
        progress: show downloads on stderr.

    Raises:
        CheckpointError: if it cannot be had, read or built.
    """
    cache_dir = default_cache_dir() if cache_dir is None else cache_dir
    scheme, separator, _ = spec.partition("://")
    if spec == "coco":
        path = fetch(DEFAULT_STOCK.url, cache_dir, progress)
    elif spec == "demo":
        path = DEMO_CHECKPOINT
    elif separator and scheme.lower() in ("http", "https"):
        path = fetch(spec, cache_dir, progress)
    elif separator:
        raise CheckpointError(f"{spec}: {scheme}:// is not supported; give a file, an http(s) URL, `coco` or `demo`")
    else:
        path = Path(spec).expanduser()
        if not path.exists():
            raise CheckpointError(f"there is no file {spec}; give a file, an http(s) URL, `coco` or `demo`")
        if path.is_dir() and spec:
            if architecture is not None:
                raise CheckpointError(f"{spec} is a folder with a config of its own; --architecture is for a file")
            return load_azureml_folder(
                path,
                classes=None if classes is None else list(classes),
                accept_preprocessing=accept_preprocessing,
            )
    return load_checkpoint(path, architecture=architecture, classes=classes)

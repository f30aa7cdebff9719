"""A checkpoint -> a model folder that MLflow serves by itself, with the network, the code and the settings in it.

Written without MLflow, whose fifty packages nobody needs for a page of YAML:
https://mlflow.org/docs/latest/ml/model/#storage-format, "model from code", as mlflow 3.17 writes it.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import re
import sys
import tempfile
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

import vfnet_client
import vfnet_images
import vfnet_mlflow
import vfnet_runtime
import vfnet_tiling
from vfnet_build.building import export_network
from vfnet_build.repository import ACCURACY, RepositoryError, check_replaceable
from vfnet_build.template import copy_folder
from vfnet_client.bounded_files import read_text
from vfnet_client.bounded_yaml import parse_yaml
from vfnet_client.contract import IMAGE_COLUMN
from vfnet_client.score_parameters import THRESHOLD_PARAMETER
from vfnet_mlflow.settings import FolderSettings
from vfnet_model.manifest import BuildOptions, Manifest
from vfnet_runtime.architecture.config import VFNetConfig
from vfnet_tiling.parameters import GRID_SIZE, TILE_SIZE

MLMODEL = "MLmodel"
MLFLOW_VERSION = "3.17.2"
"""Whose layout it is; the tests serve it with this version."""
_PACKAGES = (vfnet_mlflow, vfnet_runtime, vfnet_images, vfnet_client, vfnet_tiling)
"""What detects there, copied: the folder needs nothing that is not on PyPI."""
_NETWORK = "artifacts/network"
_METADATA = "vfnet"
_ENTRY = "python_model.py"
_ENTRY_TEXT = '''\
"""The model as MLflow loads it; what it is made of is in code/ and artifacts/."""

from mlflow.models import set_model

from vfnet_mlflow.python_model import VFNetModel

set_model(VFNetModel())
'''
_SERVERS_OWN = ("mlflow-skinny>=3.17,<4", "pandas>=2.2,<4")
"""What MLflow's scoring server needs: `mlflow-skinny` has it all but pandas."""
_FETCHING = ("httpx", "httpcore")
"""What fetches images by URL."""
_MAX_MLMODEL = 2**16


def write_mlflow_folder(
    checkpoint_spec: str,
    folder: Path,
    options: BuildOptions,
    *,
    architecture: str | None = None,
    classes: Sequence[str] | None = None,
    accept_preprocessing: bool = False,
) -> None:
    """Write the folder, complete or not at all. Steps are told on stderr.

    Args:
        folder: not there yet, empty, or written by this function earlier: that is replaced.
        options: of the engine `openvino`.
        checkpoint_spec, architecture, classes, accept_preprocessing: see `vfnet_build.building.build`.

    Raises:
        CheckpointError; RepositoryError: something else is there, it cannot be written, or the options do not fit;
        DatasetError: of the images that int8 is judged by.
    """
    if options.engines != ("openvino",):
        raise RepositoryError("an MLflow folder detects with OpenVINO: leave --engine out")
    folder = folder.absolute()
    check_folder(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
            network = Path(scratch) / "built" / "vfnet_detector" / "1"
            config, manifest = export_network(
                checkpoint_spec,
                network,
                options,
                architecture=architecture,
                classes=classes,
                accept_preprocessing=accept_preprocessing,
            )
            fresh = Path(scratch) / "fresh"
            _write(fresh, network, config, manifest)
            if folder.exists():
                folder.rename(Path(scratch) / "replaced")
            fresh.rename(folder)
    except OSError as error:
        raise RepositoryError(f"{folder} cannot be written: {error.strerror or error}") from error
    print(f"vfnet mlflow: wrote {folder}", file=sys.stderr, flush=True)


def check_folder(folder: Path) -> None:
    """Refuse to put a model where something else is.

    Raises:
        RepositoryError: says what is there.
    """
    check_replaceable(folder, _is_ours, what="an MLflow model", command="vfnet mlflow")


def _is_ours(folder: Path) -> bool:
    try:
        model = parse_yaml(read_text(folder / MLMODEL, _MAX_MLMODEL))
        return _METADATA in model["metadata"]
    except (OSError, ValueError, TypeError, KeyError):
        return False


def _write(folder: Path, network: Path, config: VFNetConfig, manifest: Manifest) -> None:
    """Move the network and write all else."""
    target = folder / _NETWORK
    target.parent.mkdir(parents=True)
    network.rename(target)
    accuracy = network.parents[1] / ACCURACY
    if accuracy.exists():
        accuracy.rename(target / ACCURACY)
    _settings(config, manifest.options.precision).write(target)
    for package in _PACKAGES:
        copy_folder(Path(package.__path__[0]), folder / "code" / package.__name__)
    (folder / _ENTRY).write_text(_ENTRY_TEXT, encoding="utf-8")
    requirements = [*_SERVERS_OWN, *_pinned_requirements()]
    (folder / "requirements.txt").write_text("\n".join(requirements) + "\n", encoding="utf-8")
    python = platform.python_version()
    _write_yaml(folder / "python_env.yaml", {"python": python, "dependencies": ["-r requirements.txt"]})
    conda = ["pip", {"pip": requirements}]
    _write_yaml(
        folder / "conda.yaml",
        {"name": "mlflow-env", "channels": ["conda-forge"], "dependencies": [f"python={python}", *conda]},
    )
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    _write_yaml(folder / MLMODEL, _mlmodel(manifest, python, size))


def _settings(config: VFNetConfig, precision: str) -> FolderSettings:
    return FolderSettings(
        classes=config.classes,
        precision=precision,
        img_scale=config.preprocess.img_scale,
        size_divisor=config.preprocess.size_divisor,
        strides=config.head.strides,
        point_offset=config.head.point_offset,
        nms_pre=config.test.nms_pre,
        score_threshold=config.test.score_threshold,
        iou_threshold=config.test.iou_threshold,
        max_per_img=config.test.max_per_img,
    )


def _pinned_requirements() -> list[str]:
    """What the copied packages import, at the versions that are installed here."""
    listed = importlib.metadata.requires("vfnet") or []
    names = [match[1] for text in listed if (match := re.match(r"([\w.-]+)[^;]*; *extra == .models.$", text))]
    return [f"{name}=={importlib.metadata.version(name)}" for name in (*names, *_FETCHING)]


def _mlmodel(manifest: Manifest, python: str, size: int) -> dict[str, Any]:
    """See https://mlflow.org/docs/latest/ml/model/#mlmodel-file; without the fields of a tracking server's runs."""
    # As AzureML's AutoML declares its columns; what stands in "boxes" is a list there, too.
    signature = {
        "inputs": [{"type": "string", "name": IMAGE_COLUMN, "required": True}],
        "outputs": [{"type": "string", "name": "boxes", "required": True}],
        "params": [
            {"name": THRESHOLD_PARAMETER, "type": "double", "default": None, "shape": None},
            {"name": "classes", "type": "string", "default": [], "shape": [-1]},
            {"name": "max_detections", "type": "long", "default": None, "shape": None},
            {"name": "nms_iou", "type": "double", "default": None, "shape": None},
            # The other name of the first; and what is refused, which MLflow would leave out silently otherwise.
            {"name": "score_threshold", "type": "double", "default": None, "shape": None},
            *({"name": name, "type": "string", "default": None, "shape": None} for name in (GRID_SIZE, TILE_SIZE)),
        ],
    }
    return {
        "flavors": {
            "python_function": {
                "artifacts": {"network": {"path": _NETWORK, "uri": _NETWORK}},
                "code": "code",
                "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
                "loader_module": "mlflow.pyfunc.loaders.code_model",
                "model_code_path": _ENTRY,
                "model_config": {"threads": 0, "allow_urls_to": []},
                "python_version": python,
                "streamable": False,
            }
        },
        "metadata": {
            _METADATA: {
                "checkpoint": manifest.checkpoint,
                "checkpoint_sha256": manifest.checkpoint_sha256,
                "untrained": manifest.untrained,
                "precision": manifest.options.precision,
                "versions": manifest.versions,
            }
        },
        "mlflow_version": MLFLOW_VERSION,
        "model_size_bytes": size,
        "model_uuid": uuid.uuid4().hex,
        "signature": {name: json.dumps(fields) for name, fields in signature.items()},
        "utc_time_created": str(datetime.now(UTC).replace(tzinfo=None)),
    }


def _write_yaml(path: Path, document: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")

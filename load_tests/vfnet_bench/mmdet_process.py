"""MMDetection itself, in a process of its own environment."""

from __future__ import annotations

import os
import pickle
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from vfnet_bench.errors import BenchmarkError
from vfnet_bench.worker_process import WorkerProcess, worker_process
from vfnet_model.checkpoints.config_text import parse_config_text
from vfnet_model.checkpoints.torch_file import open_torch_file

WORKER = Path(__file__).with_name("mmdet_worker.py")


def mmdet_process(
    python: Path, checkpoint: Path, task: Sequence[str], threads: int, scratch: Path
) -> AbstractContextManager[WorkerProcess]:
    """MMDetection with a checkpoint's own config and weights.

    Args:
        python: the interpreter of an environment with mmdet 2.x.
        checkpoint: an mmdet checkpoint whose `meta` holds its config text.
        task: `detect` in images, or `train` and a batch: an .npz of `images`, `boxes` and `labels`. See the worker.
        threads: for torch.
        scratch: a folder for the worker's config and log.

    Raises:
        BenchmarkError: it cannot be run.
        CheckpointError: the file or its config cannot be read.
    """
    config = write_config(checkpoint, scratch / "mmdet_config.pkl")
    # -I: nothing of this environment, and none of the modules beside the script.
    command = [str(python), "-I", str(WORKER), str(config), str(checkpoint), str(threads), *task]
    return worker_process("MMDetection", command, torch_environment(threads), scratch / "mmdet.log")


def write_config(checkpoint: Path, path: Path) -> Path:
    """A checkpoint's own config as the pickled dict that mmcv takes; `path` again.

    Raises:
        BenchmarkError: it holds none.
        CheckpointError: the file or its config cannot be read.
    """
    with open_torch_file(checkpoint) as file:
        meta = file.payload.get("meta") if isinstance(file.payload, dict) else None
    text = meta.get("config") if isinstance(meta, dict) else None
    if not isinstance(text, str):
        raise BenchmarkError(f"{checkpoint} holds no config for MMDetection (meta['config']): bench without it")
    path.write_bytes(pickle.dumps(parse_config_text(text), protocol=4))
    return path


def torch_environment(threads: int) -> dict[str, str]:
    """Environment variables of a process with torch: that many threads, which do not spin while they wait."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return ours | {"OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": str(threads)}

"""MMDetection itself, in a process of its own environment."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vfnet_build.benchmark.errors import BenchmarkError
from vfnet_build.checkpoints.config_text import parse_config_text
from vfnet_build.checkpoints.torch_file import read_torch_file

_WORKER = Path(__file__).with_name("mmdet_worker.py")


class MMDetProcess:
    """A worker that has the checkpoint loaded and idles between runs of its task."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        """Wait until it is ready. Raises BenchmarkError: it ended instead."""
        self._process, self._log = process, log
        self.versions: dict[str, str] = self._answer()["versions"]
        self.result = 0.0
        """Of the last run: see the tasks in mmdet_worker.py."""

    def seconds(self) -> float:
        """Of one more run, by the worker's own clock.

        Raises:
            BenchmarkError: the worker has ended.
        """
        assert self._process.stdin is not None
        try:
            print("go", file=self._process.stdin, flush=True)
        except BrokenPipeError:
            raise self._failure() from None
        answer = self._answer()
        self.result = float(answer["result"])
        return float(answer["seconds"])

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._failure()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _failure(self) -> BenchmarkError:
        words = self._log.read_text(errors="replace").strip().splitlines()
        return BenchmarkError(f"MMDetection failed: {words[-1] if words else 'it ended without a word'}")


@contextmanager
def mmdet_process(
    python: Path, checkpoint: Path, task: str, data: Path, threads: int, scratch: Path
) -> Iterator[MMDetProcess]:
    """MMDetection with a checkpoint's own config and weights.

    Args:
        python: the interpreter of an environment with mmdet 2.x.
        checkpoint: an mmdet checkpoint whose `meta` holds its config text.
        task: `detect` in an image, or `train` on a batch.
        data: the image, or an .npz of `images`, `boxes` and `labels`.
        threads: for torch.
        scratch: a folder for the worker's config and log.

    Raises:
        BenchmarkError: it cannot be run.
        ConfigTextError: the config cannot be read.
    """
    text = read_torch_file(checkpoint).get("meta", {}).get("config")
    if not isinstance(text, str):
        raise BenchmarkError(f"{checkpoint} holds no config for MMDetection (meta['config']): bench without it")
    config, log = scratch / "mmdet_config.pkl", scratch / "mmdet.log"
    config.write_bytes(pickle.dumps(parse_config_text(text), protocol=4))
    # -I: nothing of this environment, and none of the modules beside the script.
    command = [str(python), "-I", str(_WORKER), str(config), str(checkpoint), str(threads), task, str(data)]
    environment = os.environ | {"OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": str(threads)}
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
            start_new_session=True,  # a terminal's Ctrl-C is for us; the worker also ends when its stdin does
        )
    try:
        yield MMDetProcess(process, log)
    finally:
        process.kill()
        process.wait()

"""`vfnet batch` as people run it, and what it left."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

VFNET = (sys.executable, "-m", "vfnet_client")


def write_images(folder: Path, count: int, *, per_folder: int = 50) -> None:
    """Small JPEGs and PNGs of different sizes and colours, in folders of `per_folder`."""
    random = np.random.default_rng(0)
    for i in range(count):
        path = folder / f"{i // per_folder:03}" / f"{i:05}{'.png' if i % 10 == 0 else '.jpg'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 255, (3, 4, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((24 + i % 7, 16 + i % 5)).save(path)


def batch_command(source: Path | str, output: Path, server: str | list[str], *options: str) -> list[str]:
    """The command line; of one server or several."""
    servers = [server] if isinstance(server, str) else server
    return [*VFNET, "batch", str(source), f"--output={output}", *options, *(f"--server={url}" for url in servers)]


def run_batch(
    source: Path | str, output: Path, server: str | list[str], *options: str, code: int = 0, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run it to its end, with the exit code that is expected."""
    command = batch_command(source, output, server, *options)
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=cwd)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def lines_of(output: Path) -> list[str]:
    """All rows of JSON Lines, in the order of the shards' names."""
    shards = sorted((output / "shards").glob("part-*"))
    return [line for path in shards for line in path.read_text().splitlines()]


def rows_of(output: Path) -> list[dict[str, Any]]:
    """The same, parsed."""
    return [json.loads(line) for line in lines_of(output)]


def unfinished_files(output: Path) -> list[Path]:
    """What was not written to its end."""
    return [path for path in output.rglob("*.part") if path.is_file()]

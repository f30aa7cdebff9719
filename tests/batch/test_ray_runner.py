"""The Ray route gives the rows of the plain one, also when a worker dies in the middle."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import psutil
import pytest

from batch_command import batch_command, lines_of, run_batch, unfinished_files, write_images
from triton_server import ServedRepository

pytestmark = pytest.mark.served

ACTORS = ("--ray=local", "--actors=2:3", "--actor-cpus=0.5", "--shard-images=10", "--concurrency=2")


def actors_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The cluster's processes that score."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            if "MapWorker" in "".join(child.cmdline()):
                found.append(child)
        except psutil.Error:
            continue
    return found


def test_a_cluster_that_loses_a_worker_gives_the_plain_routes_rows(
    quick_server: ServedRepository, tmp_path: Path
) -> None:
    images, output = tmp_path / "images", tmp_path / "ray"
    write_images(images, 600)
    (images / "000" / "00003.jpg").write_bytes(b"no image")
    run_batch(images, tmp_path / "plain", quick_server.grpc_url)
    command = batch_command(images, output, quick_server.grpc_url, *ACTORS)
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as batch:
        try:
            deadline = time.monotonic() + 200
            while len(list((output / "shards").glob("part-*"))) < 3 or len(actors_of(batch)) < 2:
                assert batch.poll() is None, batch.communicate()[1]
                assert time.monotonic() < deadline
                time.sleep(0.01)
            actors_of(batch)[0].kill()
            at_kill = len(lines_of(output))
            _, said = batch.communicate(timeout=200)
        finally:
            batch.terminate()
    assert batch.returncode == 0, said
    assert at_kill < 600
    assert lines_of(output) == lines_of(tmp_path / "plain")
    assert unfinished_files(output) == []

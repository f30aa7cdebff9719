"""Stopped, killed, out of disk or out of servers: the same command goes on, and nothing is missing or there twice."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from batch_command import VFNET, batch_command, lines_of, run_batch, unfinished_files, write_images
from triton_server import NO_OP, ROOM, ServedRepository
from vfnet_client.free_ports import free_ports

KILLS = int(os.environ.get("VFNET_BATCH_KILLS", "3"))
"""Random moments of one batch; the seed is fixed. `VFNET_BATCH_KILLS=20 pytest tests/batch/test_stop_and_go.py`."""
IMAGES_A_KILL = 300
SMALL_SHARDS = ("--shard-images=20", "--concurrency=4")

WHILE_WRITING = """
import os, signal, sys
flush, count = os.fsync, 0
def kill(file):
    global count
    if ".part-" in os.readlink(f"/proc/self/fd/{{file}}"):
        count += 1
        if count == {shard}:
            {then}
    flush(file)
os.fsync = kill
from vfnet_client.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough images to be killed in the middle of."""
    folder = tmp_path_factory.mktemp("many")
    write_images(folder, KILLS * IMAGES_A_KILL, per_folder=500)
    return folder


@pytest.fixture(scope="module")
def undisturbed(many: Path, quick_server: ServedRepository, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The rows of a batch over `many` that nobody stopped."""
    output = tmp_path_factory.mktemp("undisturbed") / "output"
    run_batch(many, output, quick_server.grpc_url)
    return sorted(lines_of(output))


@pytest.mark.served
def test_killed_at_random_moments_it_ends_as_if_undisturbed(
    many: Path, undisturbed: list[str], quick_server: ServedRepository, tmp_path: Path
) -> None:
    moments = random.Random(0)
    output = tmp_path / "out"
    command = batch_command(many, output, quick_server.grpc_url, *SMALL_SHARDS)
    done = []
    for kill in range(KILLS):
        with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as batch:
            wait_for_shards(output, kill * IMAGES_A_KILL // 20 * 3 // 4)
            time.sleep(moments.uniform(0, 0.3))
            batch.kill()
        done.append(len(lines_of(output)))
    print(f"rows after each of {KILLS} kills: {done}")
    assert done == sorted(done)
    run_batch(many, output, quick_server.grpc_url, *SMALL_SHARDS)
    assert sorted(lines_of(output)) == undisturbed
    assert unfinished_files(output) == []


def wait_for_shards(output: Path, count: int) -> None:
    """Until so many are finished."""
    deadline = time.monotonic() + 180
    shards = output / "shards"
    while not shards.is_dir() or sum(path.name.startswith("part-") for path in shards.iterdir()) <= count:
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.served
def test_killed_while_it_writes_a_shard_it_leaves_no_half_of_it(
    photos: Path, scored_photos: Path, quick_server: ServedRepository, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    arguments = batch_command(photos, output, quick_server.grpc_url, "--shard-images=10")[len(VFNET) :]
    half = "os.ftruncate(file, os.fstat(file).st_size // 2)"
    program = WHILE_WRITING.format(shard=3, then=f"{half}; os.kill(os.getpid(), signal.SIGKILL)")
    killed = subprocess.run([sys.executable, "-c", program, *arguments], timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(unfinished_files(output)) == 1
    assert len(lines_of(output)) == 20
    run_batch(photos, output, quick_server.grpc_url, "--shard-images=10")
    assert unfinished_files(output) == []
    assert lines_of(output) == lines_of(scored_photos)


@pytest.mark.served
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_what_is_in_flight_and_ends_it(
    number: signal.Signals,
    code: int,
    many: Path,
    undisturbed: list[str],
    quick_server: ServedRepository,
    tmp_path: Path,
) -> None:
    output = tmp_path / "out"
    arguments = batch_command(many, output, quick_server.grpc_url, "--shard-images=100")[len(VFNET) :]
    program = WHILE_WRITING.format(shard=2, then=f"os.kill(os.getpid(), signal.{number.name})")
    stopped = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    said = stopped.stderr
    assert stopped.returncode == code
    assert f"stopped by {number.name}; the same command goes on" in said
    assert "Traceback" not in said
    done = len(lines_of(output))
    assert 100 <= done < len(undisturbed)
    assert (
        f"going on: {done} of {len(undisturbed)} images are done"
        in run_batch(many, output, quick_server.grpc_url).stderr
    )
    assert sorted(lines_of(output)) == undisturbed


@pytest.mark.served
def test_a_full_disk_ends_it_and_with_room_it_goes_on(
    many: Path, undisturbed: list[str], quick_server: ServedRepository, tmp_path: Path
) -> None:
    """A small file system of its own, in a mount namespace of its own, made larger in between."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = " ".join(batch_command(many, disk / "out", quick_server.grpc_url, "--shard-images=50"))
    script = f"""
        mount -t tmpfs -o size=600k none {disk} || exit 99
        {command}; echo "code $?"
        ls -A {disk}/out/shards
        mount -o remount,size=100m {disk}
        {command}; echo "code $?"
        cp -r {disk}/out {tmp_path}/copy
    """
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode == 99 or "unshare failed" in done.stderr:
        pytest.skip("mounting is not allowed here")
    assert "No space left on device" in done.stderr
    assert "the same command goes on" in done.stderr
    assert "Traceback" not in done.stderr
    first, _, second = done.stdout.partition("code 1\n")
    assert first == ""
    assert "part-000000000-000000049.jsonl" in second
    assert ".part\n" not in second
    assert "code 0" in second
    assert sorted(lines_of(tmp_path / "copy")) == undisturbed


@pytest.mark.served
def test_a_server_that_goes_away_and_comes_back_costs_no_image(
    demo_repository: Path, many: Path, undisturbed: list[str], tmp_path: Path
) -> None:
    http, grpc, metrics = free_ports(3)
    ports = [f"--http-port={http}", f"--grpc-port={grpc}", f"--metrics-port={metrics}"]
    serve = [*VFNET, "serve", f"--repository={demo_repository}", NO_OP, *ROOM, *ports, "--exit-timeout=1"]
    url, output = f"grpc://127.0.0.1:{grpc}", tmp_path / "out"
    log = (tmp_path / "server.log").open("wb")
    server = subprocess.Popen(serve, stdout=log, stderr=log)
    try:
        wait_until_healthy(url)
        command = batch_command(many, output, url, *SMALL_SHARDS)
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, stdout=subprocess.DEVNULL) as batch:
            wait_for_shards(output, 5)
            server.terminate()
            server.wait(60)
            server = subprocess.Popen(serve, stdout=log, stderr=log)
            try:
                _, said = batch.communicate(timeout=90)
            finally:
                batch.kill()
        assert batch.returncode == 0, said
        assert "waiting for it" in said
        assert f"{url} is back" in said
        assert sorted(lines_of(output)) == undisturbed
    finally:
        server.terminate()
        server.wait(60)
        log.close()


@pytest.mark.served
def test_a_server_of_its_own_that_dies_ends_it_with_the_reason(
    demo_repository: Path, many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would start it again: it is not waited for."""
    # Ready sooner: without a network, and with its speed not measured.
    for name, value in {"MODEL_CONFIG_NAME": "noop", "MAX_IN_FLIGHT": "10", "MAX_WAITING": "16"}.items():
        monkeypatch.setenv(f"VFNET_SERVE_{name}", value)
    output = tmp_path / "out"
    command = batch_command(many, output, [], "--shard-images=2", f"--repository={demo_repository}")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, stdout=subprocess.DEVNULL) as batch:
        try:
            wait_for_shards(output, 0)
            serve = [each for each in psutil.Process(batch.pid).children() if "serve" in each.cmdline()]
            for process in serve:
                process.kill()
            _, said = batch.communicate(timeout=120)
        finally:
            batch.kill()
    assert batch.returncode == 1
    assert f"the server that this batch had started has ended, see {output / 'server' / 'server.log'}" in said
    assert 2 <= len(lines_of(output)) < len(list(many.rglob("*.*")))  # what was done is kept


def wait_until_healthy(url: str) -> None:
    deadline = time.monotonic() + 90
    while subprocess.run([*VFNET, "health", "--server", url], capture_output=True, check=False).returncode != 0:
        assert time.monotonic() < deadline


def test_a_server_that_stays_away_ends_it_when_patience_does(photos: Path, tmp_path: Path) -> None:
    done = run_batch(photos, tmp_path / "out", f"grpc://127.0.0.1:{free_ports(1)[0]}", "--retries=0", code=1)
    assert done.stderr.startswith("vfnet batch: no VFNet is ready at grpc://127.0.0.1:")
    assert "Traceback" not in done.stderr
    assert list((tmp_path / "out" / "shards").iterdir()) == []


def test_what_differs_from_the_batch_that_was_begun_is_refused(
    scored_photos: Path, photos: Path, quick_server: ServedRepository, tmp_path: Path
) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    shutil.copytree(photos, source)
    url = quick_server.grpc_url
    run_batch(source, output, url)
    rows = lines_of(output)
    (source / "000" / "new.jpg").write_bytes((source / "000" / "00001.jpg").read_bytes())
    (source / "001" / "00031.jpg").unlink()
    refused = run_batch(source, output, url, "--threshold=0.5", "--format=csv", "--nms-iou=0.5", code=1).stderr
    assert "1 images are new, the first 000/new.jpg; 1 images are gone, the first 001/00031.jpg" in refused
    assert "format was 'jsonl' and is now 'csv'; " in refused
    assert "score_threshold was None and is now 0.5" in refused
    assert "nms_iou was None and is now 0.5" in refused
    assert f"the input was {source} and is now {photos}" in run_batch(photos, output, url, code=1).stderr
    assert lines_of(output) == rows == lines_of(scored_photos)
    (source / "file.txt").write_text("no batch")
    assert "holds no batch" in run_batch(photos, source, url, code=1).stderr


@pytest.mark.served
def test_two_batches_do_not_write_to_one_folder(many: Path, quick_server: ServedRepository, tmp_path: Path) -> None:
    output = tmp_path / "out"
    command = batch_command(many, output, quick_server.grpc_url, *SMALL_SHARDS)
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as batch:
        wait_for_shards(output, 1)
        batch.send_signal(signal.SIGSTOP)  # it has the folder for as long as the other one takes
        try:
            refused = run_batch(many, output, quick_server.grpc_url, *SMALL_SHARDS, code=1)
        finally:
            batch.send_signal(signal.SIGCONT)
            batch.terminate()
    assert "another vfnet batch is writing" in refused.stderr

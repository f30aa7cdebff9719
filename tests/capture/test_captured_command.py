"""`vfnet captured`: what it lists, exports and forgets."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from captured_images import DOUBTFUL, SURE, offer, picture, store_with
from vfnet.commands import captured
from vfnet_capture import CaptureStore, Review, open_store
from vfnet_client.exceptions import CommandError
from vfnet_data import read_dataset

HOUR = 3600.0


def run(*words: str) -> int:
    import argparse

    parser = argparse.ArgumentParser()
    captured.add_arguments(parser)
    return captured.run(parser.parse_args(words))


@pytest.fixture
def store(tmp_path: Path) -> CaptureStore:
    """Of three requests, one with two images; the first was two hours ago."""
    now = time.time()
    offers = [
        offer("old", picture(1), SURE, now - 2 * HOUR),
        offer("two", picture(2), DOUBTFUL, now - 2),
        offer("two", picture(3), SURE, now - 1),
        offer("last", picture(1), (), now),
    ]
    return store_with(tmp_path / "store", offers)


def requests(store: CaptureStore) -> list[str]:
    return [image.request for image in store.images()]


def test_it_counts_and_lists(store: CaptureStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("count", store.url) == 0
    told = capsys.readouterr().out
    assert told.startswith("4 images, ")
    assert "kept because of: share 4" in told
    assert run("list", store.url, "--doubtful", "--limit=2") == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [(line[1], line[6]) for line in lines] == [("0.00", "last"), ("0.35", "two")]


@pytest.mark.parametrize(
    ("words", "left"),
    [
        (("--request=two",), ["old", "last"]),
        (("--request=two", "--request=old"), ["last"]),
        (("--until=1h",), ["two", "two", "last"]),
        (("--since=1h",), ["old"]),
        (("--all",), []),
        (("--request=nobody's",), ["old", "two", "two", "last"]),
    ],
)
def test_it_forgets(words: tuple[str, ...], left: list[str], store: CaptureStore) -> None:
    assert run("forget", store.url, *words) == 0
    assert requests(store) == left
    folder = Path(store.url)
    assert len(list((folder / "images").iterdir())) == len(list((folder / "records").iterdir())) == len(left)
    assert len((folder / "captured.jsonl").read_text().splitlines()) == len(left)


def test_it_forgets_an_image_by_its_file_however_often_it_came(store: CaptureStore, tmp_path: Path) -> None:
    (tmp_path / "mine.png").write_bytes(picture(1))
    assert run("forget", store.url, f"--image={tmp_path / 'mine.png'}") == 0
    assert requests(store) == ["two", "two"]


def test_it_forgets_what_killed_writers_left(store: CaptureStore) -> None:
    images = Path(store.url) / "images"
    (images / ".20260101T000000.000000Z-00000000.jpg.abc").write_bytes(b"half")
    (images / "20260101T000000.000000Z-00000000.jpg").write_bytes(b"without a record")
    assert run("forget", store.url, "--request=nobody's") == 0
    assert len(list(images.iterdir())) == 4


def test_it_exports_what_was_accepted(store: CaptureStore, tmp_path: Path) -> None:
    for image, state in zip(list(store.images()), ("accepted", "left_out", "begun"), strict=False):
        store.save(image.reviewed(image.labels, Review(state, "", "")))
    assert run("export", store.url, f"--output={tmp_path / 'accepted'}") == 0
    exported = read_dataset(tmp_path / "accepted" / "reviewed.jsonl")
    assert [(image.path.parent.parent.name, len(image.boxes)) for image in exported.images] == [("accepted", 2)]
    assert run("export", store.url, f"--output={tmp_path / 'all'}", "--everything") == 0
    assert requests(open_store(str(tmp_path / "all"))) == requests(store)
    everything = read_dataset(tmp_path / "all" / "captured.json")
    assert len(everything.images) == 3  # all but what was left out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("forget",), "say what to forget"),
        (("count", "--all"), "only forget chooses images"),
        (("export",), "--output DIR"),
    ],
)
def test_what_makes_no_sense_is_said(words: tuple[str, ...], told: str, store: CaptureStore) -> None:
    with pytest.raises(CommandError, match=told):
        run(words[0], store.url, *words[1:])
    assert len(requests(store)) == 4


def test_another_folder_is_no_store(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "vfnet_client", "captured", "forget", str(tmp_path), "--all"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"vfnet captured: {tmp_path} is no capture store: it has no capture.json")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "words",
    [
        ("--sha256=xyz",),
        ("--id=../x",),
        ("--since=soon",),
        ("--since=9999999d",),
        ("--since=1e9d",),
        ("--until=0001-01-01T00:00+12:00",),
    ],
)
def test_nonsense_is_refused(words: tuple[str, ...], store: CaptureStore) -> None:
    with pytest.raises(SystemExit):
        run("forget", store.url, *words)

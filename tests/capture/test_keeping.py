"""What a keeper writes, and what it does not, in this process."""

from __future__ import annotations

import errno
import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from captured_images import DOUBTFUL, SURE, Keeping, offer, picture
from vfnet_capture.captured_image import ACCEPTED, CapturedImage, Review
from vfnet_capture.messages import DISK_FULL, DROPPED, KEPT, NO_ROOM, REMOVED, TROUBLE, UNREADABLE, UNWRITABLE, WELL
from vfnet_data import read_dataset

DAY = 86_400.0


def files(store: Path) -> list[str]:
    return sorted(path.name for folder in ("images", "records") for path in (store / folder).iterdir())


def age_of(index: int) -> float:
    return time.time() - 100 + index


def test_an_image_is_kept_as_it_came_with_its_answer(tmp_path: Path) -> None:
    keeping = Keeping(tmp_path / "store")
    image = picture(3, format="JPEG")
    keeping.keep(offer("a-request", image, DOUBTFUL))
    (kept,) = keeping.store.images()
    assert keeping.store.picture(kept) == image
    assert (kept.width, kept.height, kept.ending, kept.request, kept.deployment) == (
        40,
        30,
        "jpg",
        "a-request",
        "vfnet",
    )
    assert kept.reasons == ("share",)
    assert [(box.label, box.score) for box in kept.detections] == [(label, score) for label, score, _ in DOUBTFUL]
    assert [box.label for box in kept.labels] == ["can", "carton", "carton"]  # the fourth scores too little to count
    assert kept.certainty == pytest.approx(0.35)
    assert (kept.answered_by, kept.checkpoint) == (None, None)
    assert kept.review is None
    assert abs(kept.at.timestamp() - time.time()) < 60
    assert keeping.told == [[KEPT, ["share"]]]
    assert (tmp_path / "store" / "images" / f"{kept.id}.jpg").stat().st_mode & 0o077 == 0


def test_a_record_says_who_answered_and_older_ones_are_read_all_the_same(tmp_path: Path) -> None:
    keeping = Keeping(tmp_path / "store")
    given = offer("a-request", picture(3, format="JPEG"), DOUBTFUL)
    keeping.keep(replace(given, answered_by="vfnet.2", checkpoint="5f0c29aa01234567"))
    (kept,) = keeping.store.images()
    assert (kept.answered_by, kept.checkpoint) == ("vfnet.2", "5f0c29aa01234567")
    record = kept.to_json()
    del record["capture"]["answered_by"], record["capture"]["checkpoint"]
    older = CapturedImage.from_line(json.dumps(record).encode())
    assert older == replace(kept, answered_by=None, checkpoint=None)


def test_tables_are_what_training_and_evaluation_read(tmp_path: Path) -> None:
    keeping = Keeping(tmp_path)
    keeping.keep(offer(boxes=SURE), offer(boxes=DOUBTFUL), offer(boxes=()))
    first, *_ = keeping.store.images()
    accepted = first.reviewed(first.labels[:1], Review(ACCEPTED, "2026-11-29T12:00:00Z", "me"))
    keeping.store.save(accepted)
    keeping.keeper.close()
    for ending in ("jsonl", "json"):
        everything = read_dataset(tmp_path / f"captured.{ending}", allow_unreadable=False)
        assert everything.classes == ("can", "carton")
        assert [len(image.boxes) for image in everything.images] == [1, 3, 0]
        assert everything.images[0].boxes[0].tolist() == pytest.approx([4, 3, 16, 15], abs=1e-3)
        reviewed = read_dataset(tmp_path / f"reviewed.{ending}")
        assert [image.path.stem for image in reviewed.images] == [first.id]
    assert json.loads((tmp_path / "captured.jsonl").read_text().splitlines()[1])["label"][2]["score"] == 0.35
    assert json.loads((tmp_path / "captured.json").read_text())["annotations"][3]["score"] == 0.35


def test_the_oldest_go_when_there_are_too_many(tmp_path: Path) -> None:
    keeping = Keeping(tmp_path, max_count=5)
    for index in range(12):
        keeping.keep(offer(str(index), at=age_of(index)))
    assert [image.request for image in keeping.store.images()] == ["7", "8", "9", "10", "11"]
    assert len(files(tmp_path)) == 10
    assert keeping.counted(REMOVED, "count") == 7


def test_the_oldest_go_when_they_are_too_large(tmp_path: Path) -> None:
    keeping = Keeping(tmp_path, max_bytes=20_000)
    for index in range(40):
        keeping.keep(offer(str(index), at=age_of(index)))
        held = sum(path.stat().st_size for name in ("images", "records") for path in (tmp_path / name).iterdir())
        assert held <= 20_000
    assert [image.request for image in keeping.store.images()][-1] == "39"
    assert keeping.counted(REMOVED, "bytes") > 0
    keeping.keep(offer("large", os.urandom(30_000)), offer("too large", picture(1, (300, 300), "BMP")))
    assert keeping.counted(DROPPED, UNREADABLE) == 1
    assert keeping.counted(DROPPED, NO_ROOM) == 1


def test_what_a_person_has_reviewed_stays(tmp_path: Path) -> None:
    keeping = Keeping(tmp_path, max_count=3)
    keeping.keep(*(offer(str(index), at=age_of(index)) for index in range(3)))
    for image in list(keeping.store.images())[:2]:
        keeping.store.save(image.reviewed(image.labels, Review(ACCEPTED, "", "")))
    keeping.keep(offer("new"))
    assert [image.request for image in keeping.store.images()] == ["0", "1", "new"]
    last = list(keeping.store.images())[-1]
    keeping.store.save(last.reviewed(last.labels, Review(ACCEPTED, "", "")))
    keeping.keep(offer("no room"))
    assert keeping.counted(DROPPED, NO_ROOM) == 1
    assert [image.request for image in keeping.store.images()] == ["0", "1", "new"]


def test_age_removes_what_was_reviewed_too(tmp_path: Path) -> None:
    old = Keeping(tmp_path)
    old.keep(offer("old", at=time.time() - 2 * DAY), offer("new"))
    image = next(iter(old.store.images()))
    old.store.save(image.reviewed((), Review(ACCEPTED, "", "")))
    (tmp_path / "images" / ".20260101T000000.000000Z-00000000.jpg.x").write_bytes(b"half")
    keeping = Keeping(tmp_path, max_age=1.0)
    keeping.keeper.tend()
    assert [image.request for image in keeping.store.images()] == ["new"]
    assert len(files(tmp_path)) == 2
    assert keeping.counted(REMOVED, "age") == 1


def test_several_keepers_hold_the_bounds_together(tmp_path: Path) -> None:
    keepers = [Keeping(tmp_path, max_count=6) for _ in range(3)]
    for index in range(30):
        keepers[index % 3].keep(offer(str(index), at=age_of(index)))
        assert len(list((tmp_path / "images").iterdir())) <= 6
    assert [image.request for image in keepers[0].store.images()] == [str(index) for index in range(24, 30)]


@pytest.mark.parametrize(("number", "reason"), [(errno.ENOSPC, DISK_FULL), (errno.EACCES, UNWRITABLE)])
def test_trouble_is_said_once_and_ends_by_itself(
    number: int, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeping = Keeping(tmp_path)
    storage = keeping.keeper._store.storage
    write = storage.write

    def fails(name: str, content: bytes, *, durable: bool = False) -> None:  # noqa: ARG001
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(storage, "write", fails)
    for _ in range(3):
        keeping.keeper._tries_at = 0.0  # as if time had passed
        keeping.keep(offer())
        keeping.keeper._tries_at = 0.0
        keeping.keeper.tend()  # which finds nothing wrong where only images find no room
    assert [message[0] for message in keeping.told].count(TROUBLE) == 1
    assert [WELL] not in keeping.told
    keeping.keeper._tries_at = 0.0
    keeping.keep(offer())
    assert keeping.counted(DROPPED, reason) == 4
    keeping.keep(offer())
    assert keeping.counted(DROPPED, UNWRITABLE) >= 1  # not tried: the last try is less than a second ago
    monkeypatch.setattr(storage, "write", write)
    keeping.keeper._tries_at = 0.0
    keeping.keep(offer("after"))
    assert [WELL] in keeping.told
    assert [image.request for image in keeping.store.images()] == ["after"]


def test_a_half_written_image_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keeping = Keeping(tmp_path)
    storage = keeping.keeper._store.storage
    write = storage.write

    def fails_for_records(name: str, content: bytes, *, durable: bool = False) -> None:
        if name.startswith("records/"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(name, content, durable=durable)

    monkeypatch.setattr(storage, "write", fails_for_records)
    keeping.keep(offer())
    assert list((tmp_path / "images").iterdir()) == []


def test_the_store_may_vanish(tmp_path: Path) -> None:
    keeping = Keeping(tmp_path / "store")
    keeping.keep(offer())
    (tmp_path / "store").rename(tmp_path / "gone")
    keeping.keep(offer("again"))
    assert [image.request for image in keeping.store.images()] == ["again"]

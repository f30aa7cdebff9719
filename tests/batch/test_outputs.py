"""Every format holds the same rows, and is read by what people read it with."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import shutil
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pycocotools.coco import COCO

from batch_command import rows_of, run_batch, unfinished_files, write_images
from triton_server import ServedRepository
from vfnet_client import VFNetClient
from vfnet_client.safe_text import is_printable_line

pytestmark = pytest.mark.served

BAD = {"000/broken.jpg", "001/empty.png"}


def test_every_image_has_a_row_in_the_order_of_names(scored_photos: Path, photos: Path, server_url: str) -> None:
    rows = rows_of(scored_photos)
    names = sorted(path.relative_to(photos).as_posix() for path in photos.rglob("*.*"))
    assert [row["image"] for row in rows] == names
    assert [row["image_id"] for row in rows] == list(range(1, 63))
    assert {row["image"] for row in rows if "error" in row} == BAD
    with VFNetClient(server_url) as client:
        for row in rows[2:60:15]:
            with Image.open(photos / row["image"]) as image:
                assert (row["width"], row["height"]) == image.size
            assert row["boxes"] == client.detect(photos / row["image"]).to_json()["boxes"]
    assert [path.name for path in sorted((scored_photos / "shards").iterdir())] == [
        "part-000000000-000000024.jsonl",
        "part-000000025-000000049.jsonl",
        "part-000000050-000000061.jsonl",
    ]
    assert unfinished_files(scored_photos) == []


@pytest.fixture
def server_url(quick_server: ServedRepository) -> str:
    return quick_server.grpc_url


def test_a_summary_counts_images_boxes_and_failures(scored_photos: Path, photos: Path, server_url: str) -> None:
    summary = json.loads((scored_photos / "summary.json").read_text())
    assert (summary["images"], summary["failed"], summary["boxes"]) == (62, 2, 600)
    assert sum(summary["failures"].values()) == 2
    assert sum(summary["boxes_per_class"].values()) == 600
    before = {path: path.stat().st_mtime_ns for path in scored_photos.rglob("*") if path.name != ".lock"}
    said = run_batch(photos, scored_photos, server_url).stdout  # again: nothing is done twice
    assert said.startswith("62 images, 600 boxes\n")
    assert "1 x the image is empty" in said
    assert "nothing was left to do" in said
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_parquet_is_read_by_pandas_and_duckdb(
    scored_photos: Path, photos: Path, server_url: str, tmp_path: Path
) -> None:
    run_batch(photos, tmp_path / "out", server_url, "--format=parquet", "--shard-images=40")
    expected = rows_of(scored_photos)
    frame = pd.read_parquet(tmp_path / "out" / "shards")
    assert frame["image"].tolist() == [row["image"] for row in expected]
    assert frame["error"].isna().sum() == 60
    for row, boxes in zip(expected, frame["boxes"], strict=True):
        flat = [{"label": box["label"], "score": box["score"], **box["box"]} for box in row.get("boxes", [])]
        assert flat == ([] if boxes is None else list(boxes))
    query = (
        "SELECT box.label, count(*), max(box.score) FROM (SELECT unnest(boxes) AS box FROM '{}/*.parquet') GROUP BY 1"
    )
    found = duckdb.sql(query.format(tmp_path / "out" / "shards")).fetchall()
    scores = [box["score"] for row in expected for box in row.get("boxes", [])]
    assert [row[1:] for row in found] == [(600, max(scores))]


def test_predictions_csv_has_no_header_and_names_every_image(
    scored_photos: Path, photos: Path, server_url: str, tmp_path: Path
) -> None:
    run_batch(photos, tmp_path / "out", server_url, "--format=csv")
    with (tmp_path / "out" / "predictions.csv").open(newline="") as file:
        found = [(name, json.loads(answer)) for name, answer in csv.reader(file)]
    (tmp_path / "out" / "summary.json").unlink()  # killed after the last shard
    (tmp_path / "out" / "predictions.csv").rename(tmp_path / "before.csv")
    assert "nothing was left" in run_batch(photos, tmp_path / "out", server_url, "--format=csv").stdout
    assert (tmp_path / "out" / "predictions.csv").read_bytes() == (tmp_path / "before.csv").read_bytes()
    assert (tmp_path / "out" / "summary.json").exists()
    assert found == [
        (row["image"], {key: row[key] for key in ("boxes", "error") if key in row}) for row in rows_of(scored_photos)
    ]


def test_coco_results_go_into_pycocotools(photos: Path, server_url: str, tmp_path: Path, scored_photos: Path) -> None:
    run_batch(photos, tmp_path / "out", server_url, "--format=coco")
    with contextlib.redirect_stdout(io.StringIO()):
        images = COCO(str(tmp_path / "out" / "images.json"))
        results = images.loadRes(str(tmp_path / "out" / "results.json"))
    assert sum("error" in image for image in images.dataset["images"]) == 2
    for row in rows_of(scored_photos)[3:60:13]:
        image = images.loadImgs(row["image_id"])[0]
        assert (image["file_name"], image["width"], image["height"]) == (row["image"], row["width"], row["height"])
        found = results.loadAnns(results.getAnnIds(imgIds=[row["image_id"]]))
        assert [images.cats[each["category_id"]]["name"] for each in found] == [b["label"] for b in row["boxes"]]
        corners = [[b["box"][c] for c in ("topX", "topY", "bottomX", "bottomY")] for b in row["boxes"]]
        x1, y1, x2, y2 = (np.array(corners) * np.tile([row["width"], row["height"]], 2)).T
        np.testing.assert_allclose([each["bbox"] for each in found], np.stack([x1, y1, x2 - x1, y2 - y1], 1))


def test_coco_results_keep_the_ids_of_coco_input(photos: Path, server_url: str, tmp_path: Path) -> None:
    images = [{"id": 500 - i, "file_name": f"000/0000{i}.jpg"} for i in range(1, 4)]
    label = rows_of_first_box(server_url, photos / "000" / "00001.jpg")
    data = {"images": images, "categories": [{"id": 40, "name": "another"}, {"id": 77, "name": label}]}
    (tmp_path / "data.json").write_text(json.dumps(data))
    run_batch(tmp_path / "data.json", tmp_path / "out", server_url, "--format=coco", f"--images={photos}")
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert {each["image_id"] for each in results} == {499, 498, 497}
    assert {each["category_id"] for each in results} == {77}


def rows_of_first_box(url: str, image: Path) -> str:
    with VFNetClient(url) as client:
        return client.detect(image).boxes[0].label


def test_annotated_pictures_are_drawn_beside_the_rows(server_url: str, tmp_path: Path) -> None:
    write_images(tmp_path / "in", 4, per_folder=2)
    run_batch(tmp_path / "in", tmp_path / "in" / "out", server_url, "--draw")
    pictures = sorted((tmp_path / "in" / "out" / "pictures").rglob("*.*"))
    assert [path.name for path in pictures] == [
        "000000000-00000.png",
        "000000001-00001.jpg",
        "000000002-00002.jpg",
        "000000003-00003.jpg",
    ]
    with Image.open(pictures[0]) as picture:
        assert len(picture.convert("RGB").getcolors(2**20) or []) > 10
    # Pictures inside the input are none of the input's images.
    assert "nothing was left to do" in run_batch(tmp_path / "in", tmp_path / "in" / "out", server_url, "--draw").stdout


def test_what_is_wanted_of_the_detections_and_an_endpoint_on_http(
    quick_server: ServedRepository, photos: Path, tmp_path: Path, scored_photos: Path
) -> None:
    run_batch(
        photos,
        tmp_path / "out",
        quick_server.http_url,
        "--threshold=0.7",
        "--max-detections=3",
        "--classes=can",
        "--classes=3",
    )
    expected = rows_of(scored_photos)
    for row in expected:
        if "boxes" in row:
            row["boxes"] = [box for box in row["boxes"] if box["score"] > 0.7][:3]
    assert rows_of(tmp_path / "out") == expected


def test_names_of_any_kind_become_rows_and_pictures(server_url: str, tmp_path: Path) -> None:
    write_images(tmp_path / "in", 1)
    (image,) = (tmp_path / "in").rglob("*.png")
    names = ["😀" * 62 + ".png", "x" * 250 + ".png", "\x1b[31m\n.png", "=1+1.png"]
    for name in names:
        shutil.copy(image, image.parent / name)
    run_batch(tmp_path / "in", tmp_path / "out", server_url, "--draw", "--format=csv")
    pictures = [path.name for path in (tmp_path / "out" / "pictures").rglob("*.png")]
    assert len(pictures) == 5
    assert all(map(is_printable_line, pictures))
    rows = [row[0] for row in csv.reader((tmp_path / "out" / "predictions.csv").open(newline=""))]
    assert {"000/" + "😀" * 62 + ".png", "000/\\x1b[31m\\n.png", "000/=1+1.png"} <= set(rows)


def test_links_in_an_output_folder_lead_nowhere(server_url: str, tmp_path: Path) -> None:
    write_images(tmp_path / "in", 1)
    precious = tmp_path / "precious"
    precious.write_text("precious")
    out = tmp_path / "out"
    out.mkdir()
    (out / ".lock").symlink_to(precious)
    assert "is a link" in run_batch(tmp_path / "in", out, server_url, code=1).stderr
    (out / ".lock").unlink()
    (out / ".lock").touch()
    (tmp_path / "elsewhere").mkdir()
    (out / "shards").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert "is a link or a file" in run_batch(tmp_path / "in", out, server_url, code=1).stderr
    (out / "shards").unlink()
    for name in ("summary.json", ".batch.json.part", "inputs.jsonl"):
        (out / name).symlink_to(precious)
    run_batch(tmp_path / "in", out, server_url)
    assert precious.read_text() == "precious"
    assert list((tmp_path / "elsewhere").iterdir()) == []

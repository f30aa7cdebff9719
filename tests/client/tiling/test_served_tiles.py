"""Tiles at a real server: over both protocols, on its own terms, and as what holds the network itself finds."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from triton_server import ServedRepository
from vfnet_client import Tiling, VFNetClient
from vfnet_client.cli import main
from vfnet_model.detectors.checkpoint_detector import CheckpointDetector
from vfnet_model.detectors.image_detections import ImageDetections
from vfnet_model.detectors.repository_detector import RepositoryDetector

pytestmark = pytest.mark.served

HALVES = Tiling(tile_grid_size=(2, 1), tile_overlap_ratio=0.1, tile_predictions_nms_thresh=0.5)


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wide and low, so that it costs little."""
    pixels = np.ascontiguousarray(load_sample_image("flower.jpg")[100:148])
    path = tmp_path_factory.mktemp("pictures") / "strip.png"
    Image.fromarray(pixels).save(path)
    return path


def test_both_protocols_and_a_held_network_find_the_same(server: ServedRepository, picture: Path) -> None:
    with VFNetClient(server.grpc_url) as over_grpc, VFNetClient(server.http_url) as over_http:
        found = over_grpc.detect(picture, tiling=HALVES)
        plain = over_grpc.detect(picture)
        assert over_http.detect(picture, tiling=HALVES) == found
    assert found != plain
    held = RepositoryDetector(server.repository, threads=1).detect(picture.read_bytes(), tiling=HALVES)
    assert [box.label for box in held.boxes] == [box.label for box in found.boxes]
    for mine, served in zip(held.boxes, found.boxes, strict=True):
        assert mine.in_pixels(640, 48) == pytest.approx(served.in_pixels(640, 48), abs=0.02)
        assert mine.score == pytest.approx(served.score, abs=1e-4)
    order = [(list(held.to_numpy().names).index(box.label), -box.score) for box in found.boxes]
    assert order == sorted(order)


def test_the_server_says_how_it_suppresses(server: ServedRepository) -> None:
    for url in (server.grpc_url, server.http_url):
        with VFNetClient(url) as client:
            terms = client._submit(client._client._terms.current()).result()
            assert (terms.iou_threshold, terms.max_per_img) == (0.6, 100)
            asked = client._client._transport().step_parameters("postprocess")
            assert client._submit(asked).result()["iou_threshold"] == "0.6"


def test_the_command_tiles_and_says_what_it_left_as_it_was(
    server: ServedRepository, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "found.json"
    options = ("--server", server.grpc_url, "--json", str(target))
    assert main(["detect", str(picture), "--tile-size", "2000", *options]) == 0
    assert "1 of 1 images are too small for such tiles" in capsys.readouterr().err
    plain = json.loads(target.read_text())
    assert main(["detect", str(picture), "--tile-size", "400", *options]) == 0
    assert "too small" not in capsys.readouterr().err
    assert json.loads(target.read_text()) != plain
    assert main(["detect", str(picture), "--tile-size", "400", "--tile-overlap-ratio", "1", *options]) == 1
    assert "tiles overlap by 1" in capsys.readouterr().err


@pytest.mark.usefixtures("one_thread")
def test_a_checkpoint_is_evaluated_in_tiles_as_a_server_is(
    server: ServedRepository, demo_checkpoint: Path, picture: Path
) -> None:
    with VFNetClient(server.grpc_url) as client:
        served = client.detect(picture, tiling=HALVES).to_numpy((640, 48))
    (found,) = CheckpointDetector(demo_checkpoint, tiling=HALVES).detect_many([picture])
    assert isinstance(found, ImageDetections)
    assert len(found.scores) == len(served.scores) > 0
    np.testing.assert_allclose(np.sort(found.scores), np.sort(served.scores), atol=1e-4)


def test_a_tile_is_what_the_server_finds_in_the_crop(server: ServedRepository, picture: Path) -> None:
    """Without the whole image and with nothing to merge, an answer is that to the crops."""
    whole = Image.open(picture)
    tiling = Tiling(tile_grid_size=(2, 1), tile_overlap_ratio=0, tile_predictions_nms_thresh=1, whole_image=False)
    with VFNetClient(server.grpc_url) as client:
        found = client.detect(picture, tiling=tiling)
        boxes = []
        for left in (0, 320):
            crop = io.BytesIO()
            whole.crop((left, 0, left + 320, 48)).save(crop, "PNG")
            for box in client.detect(crop.getvalue()).boxes:
                x1, y1, x2, y2 = box.in_pixels(320, 48)
                boxes.append((round(x1 + left, 6), round(y1, 6), round(x2 + left, 6), round(y2, 6), box.score))
    merged = [(*(round(corner, 6) for corner in box.in_pixels(640, 48)), box.score) for box in found.boxes]
    assert set(merged) <= set(boxes)
    assert len(merged) == min(100, len(boxes))

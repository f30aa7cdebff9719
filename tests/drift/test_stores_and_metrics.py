"""A captured store and what Prometheus counts as one side of a comparison."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from prometheus_client import CollectorRegistry

from grey_pictures import picture
from vfnet_capture import CapturedImage, FoundBox, open_store
from vfnet_capture.layout import new_id
from vfnet_drift.errors import DriftError
from vfnet_drift.metric_sources import IMAGES, VALUES
from vfnet_drift.sources import Asked, open_side
from vfnet_gateway.drift import DriftWatch
from vfnet_profile.features import FoundBox as ProfiledBox
from vfnet_profile.features import observe
from vfnet_profile.profile import Profile


def captured(store_folder: Path, count: int, reasons: tuple[str, ...], deployment: str = "vfnet") -> None:
    store = open_store(str(store_folder), new=True)
    store.mark()
    for index in range(count):
        image_id = new_id(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=index))
        box = FoundBox(0.1, 0.1, 0.4, 0.4, "can", 0.8)
        image = CapturedImage(
            image_id, "jpg", 64, 48, (), (box,), "request", deployment, None, reasons, 0.8, "0" * 64, 1
        )  # fmt: skip
        store.add(image, picture(120, index))


def test_a_store_gives_its_fair_sample_only(tmp_path: Path) -> None:
    captured(tmp_path, 5, ("share",))
    captured(tmp_path, 3, ("below",))
    side = open_side(str(tmp_path), Asked())
    assert side.images == 5
    assert side.values("score").tolist() == [0.8] * 5
    assert len(side.values("brightness")) == 5
    assert any("3 images are left out that were not kept by chance" in note for note in side.notes)


def test_of_a_store_of_two_deployments_one_is_chosen(tmp_path: Path) -> None:
    captured(tmp_path, 2, ("share",), "vfnet")
    captured(tmp_path, 4, ("share",), "vfnet.2")
    with pytest.raises(DriftError, match=r"vfnet, vfnet\.2: choose one with --deployment"):
        open_side(str(tmp_path), Asked())
    assert open_side(str(tmp_path), Asked(deployment="vfnet.2")).images == 4


def test_a_store_without_a_fair_sample_is_refused(tmp_path: Path) -> None:
    captured(tmp_path, 2, ("below",))
    with pytest.raises(DriftError, match="no image that was kept by chance"):
        open_side(str(tmp_path), Asked())


def reference() -> Profile:
    return Profile.of([observe(None, [ProfiledBox("can", 0.2, 0.2, 0.7)], (640, 480))] * 30)


@pytest.fixture
def prometheus() -> Iterator[tuple[str, list[str], list[bytes]]]:
    """Its URL, the queries that it got, and what it answers them."""
    queries: list[str] = []
    answers: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            queries.append(parse_qs(urlsplit(self.path).query)["query"][0])
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answers[len(queries) - 1])

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", queries, answers
    server.shutdown()
    server.server_close()
    thread.join()


def answer(*samples: tuple[dict[str, str], float]) -> bytes:
    result = [{"metric": labels, "value": [0, str(value)]} for labels, value in samples]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()


def test_prometheus_is_asked_for_counts_over_the_time(prometheus) -> None:
    url, queries, answers = prometheus
    labels = {"deployment": "vfnet", "feature": "class"}
    answers += [
        answer(({**labels, "bin": "can"}, 40.2), ({**labels, "bin": "(other)"}, 9.8)),
        answer(({"deployment": "vfnet"}, 25.4)),
    ]
    side = open_side(url, Asked(over="6h"), reference())
    assert [query.count("[6h]") for query in queries] == [1, 1]
    assert VALUES in queries[0]
    assert IMAGES in queries[1]
    assert side.images == 25
    assert side.profile is not None
    assert side.profile.histograms["class"].counts.tolist() == [40.2, 9.8]


@pytest.mark.parametrize(
    ("answers_given", "said"),
    [
        ([b"<html>", b""], "does not answer as Prometheus does"),
        ([json.dumps({"data": {"result": [{"metric": {}, "value": [0, 10**400]}]}}).encode()], "does not answer as"),
        ([answer(), answer(({"deployment": "vfnet"}, float("nan")))], "has counted nan of vfnet_gateway_drift_images"),
        ([answer(), answer(({"deployment": "vfnet"}, float("inf")))], "has counted inf of vfnet_gateway_drift_images"),
        ([answer(), answer()], "is the gateway started with --drift-reference"),
        (
            [
                answer(({"deployment": "vfnet", "feature": "image_size", "bin": "3.5"}, 1)),
                answer(({"deployment": "vfnet"}, 1)),
            ],
            "counts image_size in other bins than this reference has",
        ),
        ([answer(), answer(({"deployment": "a"}, 1), ({"deployment": "b"}, 1))], "several deployments"),
    ],
)
def test_what_prometheus_cannot_tell_is_said(answers_given: list[bytes], said: str, prometheus) -> None:
    url, _, answers = prometheus
    answers += answers_given
    with pytest.raises(DriftError, match=said):
        open_side(url, Asked(), reference())


def test_the_names_of_the_metrics_are_those_of_the_gateway() -> None:
    watch = DriftWatch(reference(), 1000, CollectorRegistry())
    watch.values.labels("vfnet", "class", "can").inc()
    watch.images.labels("vfnet").inc()
    names = {
        sample.name for metric in (watch.values, watch.images) for each in metric.collect() for sample in each.samples
    }
    watch.stop()
    assert {VALUES, IMAGES} <= names

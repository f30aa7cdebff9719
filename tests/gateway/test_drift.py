"""`vfnet gateway --drift-reference`: what it counts and tells of the latest images."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from prometheus_client import CollectorRegistry

from gateway_process import running_gateway
from score_requests import GOOD, post, table
from triton_server import ServedRepository
from vfnet_client.cli import main
from vfnet_client.detection_options import NO_OPTIONS, DetectionOptions
from vfnet_gateway.drift import DriftWatch
from vfnet_profile.features import FoundBox, observe
from vfnet_profile.profile import Profile
from vfnet_profile.window import LEAST_IMAGES, OLDEST_S, Window
from waiting import eventually


def jpeg(brightness: float) -> bytes:
    encoded = io.BytesIO()
    Image.fromarray(np.full((48, 64, 3), int(brightness), np.uint8)).save(encoded, "JPEG")
    return encoded.getvalue()


def reference() -> Profile:
    boxes = [FoundBox("can", 0.2, 0.2, 0.7)]
    return Profile.of([observe(jpeg(100 + i % 50), boxes) for i in range(200)])


def detections(label: str) -> bytes:
    box = {"topX": 0.1, "topY": 0.1, "bottomX": 0.3, "bottomY": 0.3}
    return json.dumps({"boxes": [{"box": box, "label": label, "score": 0.7}]}).encode()


def effect(registry: CollectorRegistry, feature: str) -> float | None:
    labels = {"deployment": "vfnet", "feature": feature, "measure": "cramers_v"}
    return registry.get_sample_value("vfnet_gateway_drift_effect", labels)


def test_effects_are_told_by_feature_once_enough_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vfnet_gateway.drift._EVERY_S", 0.0)
    monkeypatch.setattr("vfnet_gateway.drift._REST", 0)
    registry = CollectorRegistry()

    async def scenario() -> None:
        watch = DriftWatch(reference(), 1000, registry)
        drift = watch.of("vfnet")
        for i in range(LEAST_IMAGES + 20):
            if i == LEAST_IMAGES - 1:
                watch.refresh()
                assert effect(registry, "brightness") is None, "too little is known yet"
            assert drift.wants(NO_OPTIONS)
            drift.offer(jpeg(40 + i % 50), detections("can"))
            while drift._task is not None:
                await asyncio.sleep(0)
        assert not drift.wants(DetectionOptions(score_threshold=0.5)), "its caller wants the best boxes only"
        for other in ({"classes": ("can",)}, {"max_detections": 5}, {"nms_iou": 0.5}):
            assert not drift.wants(DetectionOptions(**other)), "its caller wants other boxes"  # type: ignore[arg-type]
        watch.refresh()
        watch.stop()

    asyncio.run(scenario())
    brightness, classes = effect(registry, "brightness"), effect(registry, "class")
    assert brightness is not None
    assert brightness > 0.5
    assert classes == 0
    labels = {"deployment": "vfnet", "feature": "class", "bin": "can"}
    assert registry.get_sample_value("vfnet_gateway_drift_values_total", labels) == LEAST_IMAGES + 20


def test_an_image_that_takes_long_is_followed_by_a_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("vfnet_gateway.drift.monotonic", lambda: now[0])

    async def scenario() -> None:
        watch = DriftWatch(reference(), 1000, CollectorRegistry())
        drift = watch.of("vfnet")

        async def slowly(_image: bytes, _detections: bytes) -> None:
            now[0] += 0.4

        monkeypatch.setattr(watch, "observed", slowly)
        drift.offer(jpeg(1), detections("can"))
        assert not drift.wants(NO_OPTIONS), "one at a time"
        while drift._task is not None:
            await asyncio.sleep(0)
        now[0] = 100.4 + 0.4 * 18
        assert not drift.wants(NO_OPTIONS)
        now[0] = 100.4 + 0.4 * 20
        assert drift.wants(NO_OPTIONS)
        watch.stop()

    asyncio.run(scenario())


def test_what_is_no_answer_or_no_image_hurts_nobody() -> None:
    async def scenario() -> None:
        watch = DriftWatch(reference(), 1000, CollectorRegistry())
        for image, answer in ((b"no image", detections("can")), (jpeg(1), b"[]"), (jpeg(1), b"{")):
            await watch.observed(image, answer)
        watch.stop()

    asyncio.run(scenario())


def test_a_window_forgets_what_left_it_and_what_is_old() -> None:
    now = [0.0]
    window = Window(reference(), 200, lambda: now[0])
    for _ in range(1000):
        window.add(observe(None, [FoundBox("bottle", 0.2, 0.2, 0.7)]))
    assert 180 <= window.images <= 200
    assert window.effects()["class"].cramers_v > 0.95
    for _ in range(200):
        window.add(observe(None, [FoundBox("can", 0.2, 0.2, 0.7)]))
    assert window.effects()["class"].cramers_v == 0
    now[0] = OLDEST_S + 1
    assert window.effects() == {}
    assert window.images == 0


@pytest.mark.served
def test_a_real_gateway_counts_and_the_command_reads_it(
    quick_server: ServedRepository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "reference.json"
    file.write_text(json.dumps(reference().to_json()))
    with running_gateway(quick_server.grpc_url, tmp_path, f"--drift-reference={file}") as gateway:
        with gateway.client() as client:
            assert post(client, {"input_data": table([GOOD])}).status_code == 200
        eventually(lambda: gateway.metric('vfnet_gateway_drift_images_total{deployment="vfnet"}') == 1)
        assert main(["drift", f"--reference={file}", f"--current={gateway.address}/metrics"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("Too few images to tell.")
    assert "since it started (vfnet), 1 images" in said


@pytest.mark.served
def test_a_gateway_does_not_start_with_a_reference_that_is_none(
    quick_server: ServedRepository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "reference.json"
    file.write_text("{}")
    assert main(["gateway", f"--server={quick_server.grpc_url}", f"--drift-reference={file}", "--port=1"]) == 1
    assert "is no reference of vfnet drift --write-reference" in capsys.readouterr().err

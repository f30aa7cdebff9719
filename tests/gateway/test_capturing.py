"""What the gateway offers to the capture store, without a server: rules, callers' wishes, disagreements."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from captured_images import DOUBTFUL, SURE, Box, detections
from vfnet_capture.messages import DROPPED, HOLDS, KEPT, REMOVED, TROUBLE, WELL, Offer
from vfnet_capture.settings import CaptureSettings
from vfnet_client.detection_options import NO_OPTIONS, DetectionOptions
from vfnet_gateway.capturing import Capture
from vfnet_gateway.metrics import GatewayMetrics
from vfnet_gateway.traffic.deployment_metrics import DeploymentMetrics
from vfnet_gateway.traffic.mirroring import Copies, Mirror, MirrorTarget

IMAGE = b"an image"


class Capturing:
    """A `Capture` whose offers stay here."""

    def __init__(self, **rules: Any) -> None:
        self.metrics, self.notes, self.offers = GatewayMetrics(), [], list[Offer]()
        self.capture = Capture(
            CaptureSettings(store="x", **rules), self.metrics, lambda level, line: self.notes.append((level, line))
        )
        self.capture._sender = SimpleNamespace(offer=self.offers.append)  # type: ignore[assignment]

    def metric(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"vfnet_gateway_{name}", labels)


def compared(capturing: Capturing, answer: list[Box], other: list[Box], options: DetectionOptions = NO_OPTIONS) -> None:
    """The live deployment's answer is compared with a mirrored one's."""

    async def run() -> None:
        async def answer_copy(*_: Any, **__: Any) -> dict[str, Any]:
            return {"DETECTIONS": [detections(other)]}

        counts = DeploymentMetrics(CollectorRegistry()).of("blue")
        target = MirrorTarget(SimpleNamespace(answer_copy=answer_copy), counts, 100.0)  # type: ignore[arg-type]
        copies = Copies(4, lambda: 1, lambda: 0)
        request = capturing.capture.of_a_request({}, "a-request", "vfnet")
        Mirror([target], copies).offer(IMAGE, options, detections(answer), request)
        await asyncio.gather(*copies._tasks)

    asyncio.run(run())


def test_an_image_that_another_deployment_answers_differently_is_kept() -> None:
    capturing = Capturing(disagreements=True)
    compared(capturing, list(SURE), list(SURE))
    assert capturing.offers == []
    compared(capturing, list(SURE), list(DOUBTFUL))
    (offer,) = capturing.offers
    assert (offer.reasons, offer.picture, offer.detections) == (("disagreement",), IMAGE, detections(SURE))
    assert (offer.request, offer.deployment) == ("a-request", "vfnet")


def test_disagreements_are_kept_only_where_asked_for() -> None:
    capturing = Capturing()
    compared(capturing, list(SURE), list(DOUBTFUL))
    assert capturing.offers == []


@pytest.mark.parametrize(
    ("headers", "kept"), [({}, 1), ({"x-vfnet-capture": "yes"}, 1), ({"x-vfnet-capture": "nein"}, 0)]
)
def test_a_caller_decides(headers: dict[str, str], kept: int) -> None:
    capturing = Capturing(share=100.0)
    request = capturing.capture.of_a_request(headers, "a-request", "vfnet")
    if request is not None:
        assert request.consider(IMAGE, detections(), DetectionOptions(score_threshold=0.5))
    assert len(capturing.offers) == kept
    assert all(offer.score_threshold == 0.5 for offer in capturing.offers)


def test_what_no_rule_chooses_is_not_offered() -> None:
    capturing = Capturing(share=0.0, below=0.4)
    request = capturing.capture.of_a_request({}, "a-request", "vfnet")
    assert request is not None
    assert not request.consider(IMAGE, detections(SURE), NO_OPTIONS)
    assert request.consider(IMAGE, detections(DOUBTFUL), NO_OPTIONS)
    assert [offer.reasons for offer in capturing.offers] == [("below",)]


@pytest.mark.parametrize("options", [{"classes": ("can",)}, {"max_detections": 5}, {"nms_iou": 0.5}])
def test_an_answer_that_may_lack_boxes_is_not_kept_for_truth(options: dict[str, Any]) -> None:
    chosen, capturing = DetectionOptions(**options), Capturing(share=0.0, below=0.4, disagreements=True)
    request = capturing.capture.of_a_request({}, "a-request", "vfnet")
    assert request is not None
    request.consider(IMAGE, detections(SURE), chosen)  # which no rule would have kept
    assert capturing.metric("capture_dropped_images_total", reason="restricted") == 0
    request.consider(IMAGE, detections(DOUBTFUL), chosen)
    compared(capturing, list(SURE), list(DOUBTFUL), chosen)
    assert capturing.metric("capture_dropped_images_total", reason="restricted") == 2
    assert capturing.offers == []


def test_what_the_keeper_says_is_counted_and_logged() -> None:
    capturing = Capturing()
    for message in (
        [KEPT, ["share", "below"]],
        [DROPPED, "busy", 3],
        [REMOVED, "age", 2],
        [HOLDS, 7, 70],
        [TROUBLE, "full"],
    ):
        capturing.capture._hear(list(message))
    assert capturing.metric("captured_images_total", reason="below") == 1
    assert capturing.metric("capture_dropped_images_total", reason="busy") == 3
    assert capturing.metric("capture_removed_images_total", bound="age") == 2
    assert (capturing.metric("capture_store_images"), capturing.metric("capture_store_bytes")) == (7, 70)
    assert capturing.metric("capture_works") == 0
    capturing.capture._hear([WELL])
    assert capturing.metric("capture_works") == 1
    assert [level for level, _ in capturing.notes] == ["WARNING", "INFO"]

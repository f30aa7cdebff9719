"""What a person changes of a checkpoint's test settings."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from vfnet_model.checkpoints.errors import CheckpointError
from vfnet_model.detection_settings import DetectionSettings
from vfnet_runtime.architecture.config import PreprocessConfig, TestConfig, VFNetConfig

OWN = VFNetConfig(("can",), preprocess=PreprocessConfig(mean=(1.0, 2.0, 3.0)))


def test_nothing_given_leaves_the_checkpoints_own() -> None:
    assert DetectionSettings().applied_to(OWN) == OWN
    assert not DetectionSettings()


def test_each_goes_where_mmdet_has_it_and_nothing_else_changes() -> None:
    settings = DetectionSettings((800, 480), 0.2, 0.5, 300, 500)
    found = settings.applied_to(OWN)
    assert found.preprocess == replace(OWN.preprocess, img_scale=(800, 480))
    assert found.test == TestConfig(nms_pre=500, score_threshold=0.2, iou_threshold=0.5, max_per_img=300)
    assert replace(found, preprocess=OWN.preprocess, test=OWN.test) == OWN
    assert str(settings) == "scale 800x480, score-threshold 0.2, nms-iou 0.5, max-detections 300, nms-pre 500"


def test_a_threshold_of_nought_is_a_choice() -> None:
    assert DetectionSettings(score_threshold=0.0)
    assert DetectionSettings(score_threshold=0.0).applied_to(OWN).test.score_threshold == 0


@pytest.mark.parametrize("settings", [DetectionSettings(), DetectionSettings(scale=(640, 480), nms_pre=7)])
def test_a_manifest_gives_back_what_it_was_told(settings: DetectionSettings) -> None:
    assert DetectionSettings.from_json(json.loads(json.dumps(asdict(settings)))) == settings


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (DetectionSettings(scale=(9000, 480)), "--scale 9000x480: each side may be 32 to 4,096 pixels"),
        (DetectionSettings(scale=(480, 16)), "--scale 480x16"),
        (DetectionSettings(max_detections=5001), "--max-detections 5001: may be 1 to 5,000"),
        (DetectionSettings(nms_pre=20_000), "--nms-pre 20000: may be 1 to 10,000"),
    ],
)
def test_what_no_checkpoint_may_say_is_refused(settings: DetectionSettings, said: str) -> None:
    with pytest.raises(CheckpointError, match=said):
        settings.applied_to(OWN)

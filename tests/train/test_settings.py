"""A training's settings as options."""

from __future__ import annotations

from pathlib import Path

import pytest

from vfnet.commands.finetune import PARSER, add_arguments
from vfnet_client.commands.settings_options import settings_from
from vfnet_train.settings import AugmentationSettings, FinetuneSettings, OptimizerSettings

NEEDED = ["--data", "a.jsonl", "--init", "demo", "--output", "run"]


def chosen(*argv: str) -> FinetuneSettings:
    parser = PARSER(prog="vfnet finetune")
    add_arguments(parser)
    arguments = parser.parse_args([*NEEDED, *argv])
    optimizer = settings_from(OptimizerSettings, arguments)
    augmentation = settings_from(AugmentationSettings, arguments)
    return settings_from(FinetuneSettings, arguments, optimizer=optimizer, augmentation=augmentation)


def test_what_is_not_given_is_the_default() -> None:
    assert chosen() == FinetuneSettings((Path("a.jsonl"),), "demo", Path("run"))


def test_every_option_reaches_its_setting(tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("cat\ndog\n")
    line = (
        f"--images i j --validation v --validation-images w --classes {names} --keep-empty-images --architecture a "
        f"--init-classes {names} --frozen-stages -1 --test-scale 800x1333 --epochs 3 --batch-size 2 --evaluate-every 4 "
        "--early-stopping 5 --precision bf16 --seed 0 --device cpu --threads 1 --workers 0 --save-minutes 0.5 "
        "--save-every 6 --log-every 7 --optimizer sgd --learning-rate 0.1 --momentum 0.2 --weight-decay 0.3 "
        "--bias-learning-rate-factor 2 --bias-weight-decay-factor 0 --max-gradient-norm 0 --schedule step "
        "--step-epochs 1 2 --warmup-steps 8 --warmup-ratio 0.4 --ema-decay 0.9 --scale 100x50 200x100 "
        "--multiscale-mode range --flip-probability 0 --photometric-distortion"
    )
    assert chosen(*line.split()) == FinetuneSettings(
        data=(Path("a.jsonl"),),
        init="demo",
        output=Path("run"),
        images=(Path("i"), Path("j")),
        validation=(Path("v"),),
        validation_images=(Path("w"),),
        classes=("cat", "dog"),
        architecture="a",
        init_classes=("cat", "dog"),
        epochs=3,
        batch_size=2,
        keep_empty_images=True,
        frozen_stages=-1,
        test_scale=(1333, 800),
        optimizer=OptimizerSettings("sgd", 0.1, 0.2, 0.3, 2, 0, None, "step", 8, 0.4, (1, 2)),
        augmentation=AugmentationSettings(((100, 50), (200, 100)), "range", 0, photometric_distortion=True),
        ema_decay=0.9,
        precision="bf16",
        seed=0,
        evaluate_every=4,
        early_stopping=5,
        device="cpu",
        threads=1,
        workers=0,
        save_minutes=0.5,
        save_steps=6,
        log_steps=7,
    )


def test_they_may_stand_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "training.toml"
    file.write_text('[finetune]\nscale = ["100x50"]\nlearning-rate = 1e-3\nmax-gradient-norm = 0\nsave-every = 9\n')
    monkeypatch.setenv("VFNET_FINETUNE_EPOCHS", "2")
    found = chosen("--config", str(file), "--save-every=10")
    assert found.augmentation.scales == ((100, 50),)
    assert (found.optimizer.learning_rate, found.optimizer.max_gradient_norm) == (1e-3, None)
    assert (found.epochs, found.save_steps) == (2, 10)

"""The log of figures after a kill."""

from __future__ import annotations

from pathlib import Path

from vfnet_train.metrics import METRICS_FILE, Metrics


def test_what_lies_behind_the_point_gone_on_from_is_forgotten(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path)
    for epoch in (1, 2):
        for step in (1, 2):
            metrics.add({"kind": "step", "epoch": epoch, "step": 2 * epoch - 2 + step, "loss": 1.0})
        metrics.add({"kind": "epoch", "epoch": epoch, "step": 2 * epoch, "loss": 1.0})
    # All steps of the second epoch are done, but not its evaluation.
    metrics.begin(step=4, epochs=1)
    assert [(record["kind"], record["step"]) for record in metrics.read()] == [
        ("step", 1),
        ("step", 2),
        ("epoch", 2),
        ("step", 3),
        ("step", 4),
    ]


def test_a_line_cut_short_is_left_out(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path)
    metrics.add({"kind": "step", "epoch": 1, "step": 1, "loss": 1.0})
    with (tmp_path / METRICS_FILE).open("ab") as file:
        file.write(b'{"kind": "step", "ep')
    assert [record["step"] for record in metrics.read()] == [1]
    metrics.begin(step=1, epochs=0)
    assert (tmp_path / METRICS_FILE).read_bytes().endswith(b"}\n")

"""The process that watches the servers."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from vfnet_load.sampling import Sampler, SamplerError, SamplerSettings


def settings(output: Path) -> SamplerSettings:
    """Servers that are not there."""
    nobody = "http://127.0.0.1:9/metrics"
    return SamplerSettings(str(output), nobody, nobody, triton_port=9, gateway_port=9, generator_pid=os.getpid())


def test_it_has_looked_when_it_has_started_and_looks_once_more_in_the_end(tmp_path: Path) -> None:
    output = tmp_path / "samples.jsonl"
    sampler = Sampler(settings(output))
    sampler.start()
    seen = len(output.read_text().splitlines())
    sampler.stop()
    samples = [json.loads(line) for line in output.read_text().splitlines()]
    assert len(samples) > seen >= 1
    assert all(sample["triton"] is None and sample["gateway"] is None for sample in samples)


def test_where_it_cannot_begin_nothing_is_measured(tmp_path: Path) -> None:
    with pytest.raises(SamplerError, match="ended with 1 before its first sample"):
        Sampler(settings(tmp_path / "missing" / "samples.jsonl")).start()

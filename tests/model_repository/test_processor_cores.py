"""Cores counted by affinity and by the limits of both kinds of cgroup."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vfnet_runtime.processor_cores import available_cores


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine is not what is under test."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))


def cgroup_v2(root: Path, text: str) -> Path:
    (root / "cpu.max").write_text(text)
    return root


def cgroup_v1(root: Path, quota: str, period: str) -> Path:
    (root / "cpu").mkdir()
    (root / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (root / "cpu" / "cpu.cfs_period_us").write_text(period)
    return root


@pytest.mark.usefixtures("eight_cores")
@pytest.mark.parametrize(
    ("text", "cores"),
    [
        ("max 100000\n", 8),
        ("400000 100000\n", 4),
        ("250000 100000\n", 2),  # two and a half: the half would be waited for
        ("50000 100000\n", 1),
        ("1600000 100000\n", 8),
        ("", 8),
        ("max\n", 8),
        ("some 100000\n", 8),
        ("100000 0\n", 8),
    ],
)
def test_version_2(tmp_path: Path, text: str, cores: int) -> None:
    assert available_cores(cgroup_v2(tmp_path, text)) == cores


@pytest.mark.usefixtures("eight_cores")
@pytest.mark.parametrize(
    ("quota", "period", "cores"),
    [
        ("-1\n", "100000\n", 8),
        ("300000\n", "100000\n", 3),
        ("10000\n", "100000\n", 1),
        ("1600000\n", "100000\n", 8),
        ("0\n", "100000\n", 8),
        ("100000\n", "0\n", 8),
        ("", "", 8),
    ],
)
def test_version_1(tmp_path: Path, quota: str, period: str, cores: int) -> None:
    assert available_cores(cgroup_v1(tmp_path, quota, period)) == cores


@pytest.mark.usefixtures("eight_cores")
def test_the_lower_limit_holds_where_both_are_there(tmp_path: Path) -> None:
    cgroup_v1(tmp_path, "300000", "100000")
    assert available_cores(cgroup_v2(tmp_path, "500000 100000")) == 3
    assert available_cores(cgroup_v2(tmp_path, "200000 100000")) == 2


@pytest.mark.usefixtures("eight_cores")
def test_no_cgroup_leaves_the_affinity(tmp_path: Path) -> None:
    assert available_cores(tmp_path) == 8
    assert available_cores(tmp_path / "nowhere") == 8


def test_the_affinity_of_this_process_counts(tmp_path: Path) -> None:
    allowed = os.sched_getaffinity(0)
    assert available_cores(tmp_path) == len(allowed)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert available_cores(tmp_path) == 1
    finally:
        os.sched_setaffinity(0, allowed)

"""The rules of Prometheus: each alert has its section in the runbook, and rings when it should."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared_data import ROOT
from vfnet_bench.alerts.scaled_rules import FILES, write_scaled
from vfnet_runtime import latency_buckets

RULES = ROOT / "build" / "docker" / "prometheus"
TESTS = ("alerts_test.yml", "service_levels_test.yml")
"""Of tests/containers: what mounts the rules where the tests say that they are."""
_MOUNTED = "/etc/prometheus"


def every_rule() -> list[dict[str, Any]]:
    documents = [yaml.safe_load((RULES / name).read_text()) for name in FILES]
    return [rule for document in documents for group in document["groups"] for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in every_rule() if "alert" in rule]


@pytest.fixture(scope="session")
def promtool() -> str:
    return shutil.which("promtool") or pytest.skip("no promtool here: Debian's package prometheus has it")


def test_each_alert_has_its_section_in_the_runbook_and_each_section_its_alert() -> None:
    sections = set(re.findall(r"^## (VFNet\w+)$", (ROOT / "docs/runbook.md").read_text(), re.MULTILINE))
    assert sections == {rule["alert"] for rule in alerts()}
    for rule in alerts():
        assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in ("critical", "warning")


def test_each_section_says_what_it_means_what_to_look_at_and_what_to_do() -> None:
    for section in re.split(r"^## ", (ROOT / "docs/runbook.md").read_text(), flags=re.MULTILINE):
        if not section.startswith("VFNet"):
            continue
        assert re.findall(r"^\*\*(.*)\.\*\*", section, re.MULTILINE) == ["Means", "Look at", "Do"], section[:40]


def test_prometheus_reads_all_of_them() -> None:
    config = yaml.safe_load((RULES / "prometheus.yml").read_text())
    assert sorted(config["rule_files"]) == sorted(FILES)


def test_the_latency_objective_is_a_bound_of_the_histograms() -> None:
    (rule,) = (rule for rule in every_rule() if rule.get("record") == "vfnet:objective:seconds")
    assert rule["labels"]["le"] in [latency_buckets.label_of(each) for each in latency_buckets.SECONDS]
    assert rule["expr"] == f"vector({float(rule['labels']['le']):g})"


def test_what_the_dashboard_asks_of_the_rules_is_recorded() -> None:
    dashboard = json.loads((ROOT / "build/docker/grafana/dashboards/vfnet.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    asked = {name for query in queries for name in re.findall(r"vfnet:\w+:\w+", query)}
    assert asked
    assert asked <= {rule["record"] for rule in every_rule() if "record" in rule}


def test_the_first_row_of_the_dashboard_is_the_objectives() -> None:
    dashboard = json.loads((ROOT / "build/docker/grafana/dashboards/vfnet.json").read_text())
    first = {panel["title"] for panel in dashboard["panels"] if panel["gridPos"]["y"] == 0}
    assert first == {"Availability", "Seconds an image, interactive", "Error budget left", "Burn rate"}


def test_each_alert_is_tested_by_promtool() -> None:
    text = "".join((ROOT / "tests/containers" / name).read_text() for name in TESTS)
    assert set(re.findall(r"alertname: (\w+)", text)) == {rule["alert"] for rule in alerts()}


@pytest.mark.parametrize("name", TESTS)
def test_alerts_ring_when_they_should(promtool: str, tmp_path: Path, name: str) -> None:
    text = (ROOT / "tests/containers" / name).read_text().replace(_MOUNTED, str(RULES))
    (tmp_path / name).write_text(text)
    done = subprocess.run([promtool, "test", "rules", tmp_path / name], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_scaled_rules_are_understood(promtool: str, tmp_path: Path) -> None:
    """What `vfnet bench alerts` gives to Prometheus: no range is as long as it was, and nothing else has changed."""
    files = write_scaled(RULES, tmp_path, 60, "0.5")
    done = subprocess.run([promtool, "check", "rules", *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    scaled = [rule for path in files for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]
    for before, after in zip(every_rule(), scaled, strict=True):
        assert after.get("alert") == before.get("alert")
        assert len(re.findall(r"\[\d+ms\]", after["expr"])) == len(re.findall(r"\[", before["expr"]))

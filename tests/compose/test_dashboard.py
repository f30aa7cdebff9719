"""What Prometheus scrapes and Grafana draws: every metric it names is one that Triton or the gateway has."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from gateway_process import running_gateway
from triton_server import ServedRepository
from vfnet_serve.installation import find_triton

FOLDER = Path(__file__).parents[2] / "build" / "docker"
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "grafana" / "dashboards" / "vfnet.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
METRIC = re.compile(r"\b(?:nv|vfnet)_\w+")
GPU = re.compile(r"nv_gpu_\w+")


def named() -> set[str]:
    return {metric for panel in PANELS for target in panel["targets"] for metric in METRIC.findall(target["expr"])} - {
        "vfnet_detector"  # a model
    }


def samples(text: str) -> set[str]:
    """Names of an exposition, with those of histograms' parts."""
    kinds = dict(re.findall(r"^# TYPE (\S+) (\w+)$", text, re.MULTILINE))
    histograms = [name for name, kind in kinds.items() if kind == "histogram"]
    return kinds.keys() | {f"{name}_{part}" for name in histograms for part in ("bucket", "sum", "count")}


def test_it_shows_what_was_asked_for() -> None:
    titles = " ".join(panel["title"] for panel in PANELS).lower()
    for subject in ("requests", "queue time", "images a batch", "gpu use", "gpu memory", "errors a second, by reason"):
        assert subject in titles


def test_every_metric_of_the_dashboard_exists(server: ServedRepository, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{server.metrics_port}/metrics"
    known = samples(urllib.request.urlopen(url, timeout=30).read().decode())
    with running_gateway(server.grpc_url, tmp_path) as gateway, gateway.client() as client:
        known |= samples(client.get("/metrics").text)
    unknown = named() - known
    # Without a GPU the server offers none of these; its own file has their names.
    assert all(GPU.fullmatch(metric) for metric in unknown), unknown
    (library,) = (path for path in find_triton().libraries[0].glob("libtritonserver*.so*"))
    binary = library.read_bytes()
    # Compilers cut what they compare with or copy into registers' 16 bytes.
    assert all(metric.encode()[:16] in binary for metric in unknown)


def test_panels_do_not_overlap_and_have_a_data_source() -> None:
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in PANELS]
    assert len(set(places)) == len(places)
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    (source,) = yaml.safe_load((FOLDER / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"]
    assert {panel["datasource"]["uid"] for panel in PANELS} == {source["uid"]}


def test_prometheus_scrapes_what_compose_starts() -> None:
    config = yaml.safe_load((FOLDER / "prometheus" / "prometheus.yml").read_text())
    targets = {target for job in config["scrape_configs"] for static in job["static_configs"]
               for target in static["targets"]}  # fmt: skip
    assert targets == {"triton:8002", "gateway:5001"}

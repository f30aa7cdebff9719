"""What a gateway has counted since it started, or Prometheus of all gateways over some time, as a profile."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from vfnet_client.bounded_json import parse_json
from vfnet_client.safe_text import printable_line, shown_reference
from vfnet_drift.errors import DriftError
from vfnet_profile.profile import Profile
from vfnet_profile.window import as_profile

VALUES, IMAGES = "vfnet_gateway_drift_values_total", "vfnet_gateway_drift_images_total"
"""Counters of `vfnet_gateway.drift`: by deployment, feature and bin; by deployment."""
_MOST_BYTES = 64 << 20
_PATIENCE_S = 30.0
_TIME = re.compile(r"\d{1,6}[smhdwy]")
Counted = tuple[str, dict[str, str], float]
"""Name of the counter, labels, value."""


def read_metrics(
    url: str, reference: Profile, deployment: str | None, over: str
) -> tuple[Profile, str, tuple[str, ...]]:
    """What was counted, a title, and notes for the person who asks.

    Args:
        url: of a gateway's metrics, which ends in /metrics, or of a Prometheus server.
        deployment: the one to read of; None: the only one.
        over: of Prometheus, up to now, such as `6h`.

    Raises:
        DriftError: it cannot be asked, or does not count, or counts in other bins.
    """
    shown = printable_line(shown_reference(url))
    if url.rstrip("/").endswith("/metrics"):
        counters, title = list(_of_gateway(url, shown)), f"{shown}, since it started"
    else:
        if not _TIME.fullmatch(over):
            raise DriftError(f"--over {printable_line(over)} is no time as Prometheus writes it, such as 6h or 1d")
        counters, title = list(_of_prometheus(url, shown, over)), f"{shown}, the last {over}"
    by_deployment: dict[str, dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(float)))
    images: dict[str, float] = defaultdict(float)
    for name, labels, value in counters:
        if not 0 <= value < math.inf:
            raise DriftError(f"{shown} has counted {value:g} of {name}: that is no number of anything")
        if name == IMAGES:
            images[labels.get("deployment", "")] += value
        else:
            by_deployment[labels.get("deployment", "")][labels.get("feature", "")][labels.get("bin", "")] += value
    if not images:
        raise DriftError(f"{shown} has no {IMAGES}: is the gateway started with --drift-reference?")
    chosen = _chosen(sorted(images), deployment, shown)
    found = by_deployment[chosen]
    for feature, expected in reference.histograms.items():
        strange = set(found.get(feature, {})) - set(expected.bins.names)
        if strange:
            raise DriftError(
                f"{shown} counts {feature} in other bins than this reference has: take the file that the gateway was "
                "started with"
            )
    return as_profile(reference, found, round(images[chosen])), f"{title} ({chosen})", ()


def _chosen(deployments: list[str], wanted: str | None, shown: str) -> str:
    names = printable_line(", ".join(deployments))
    if wanted is not None and wanted not in deployments:
        raise DriftError(f"{shown} has no deployment {printable_line(wanted)}; it has {names}")
    if wanted is None and len(deployments) > 1:
        raise DriftError(f"{shown} has several deployments ({names}): choose one with --deployment")
    return wanted or deployments[0]


def _of_gateway(url: str, shown: str) -> Iterable[Counted]:
    text = _fetched(url, shown, {})
    try:
        for family in text_string_to_metric_families(text.decode()):
            for sample in family.samples:
                if sample.name in (VALUES, IMAGES):
                    yield sample.name, sample.labels, sample.value
    except (ValueError, KeyError, IndexError) as error:
        raise DriftError(f"{shown} does not answer as Prometheus metrics are written") from error


def _of_prometheus(url: str, shown: str, over: str) -> Iterable[Counted]:
    asked = {
        VALUES: f"sum by (deployment, feature, bin) (increase({VALUES}[{over}]))",
        IMAGES: f"sum by (deployment) (increase({IMAGES}[{over}]))",
    }
    for name, query in asked.items():
        text = _fetched(f"{url.rstrip('/')}/api/v1/query", shown, {"query": query})
        try:
            answer: Any = parse_json(text, 1_000_000, 10_000_000)
            for each in answer["data"]["result"]:
                yield name, each["metric"], float(each["value"][1])
        except (ValueError, KeyError, TypeError, IndexError, OverflowError) as error:
            raise DriftError(f"{shown} does not answer as Prometheus does; a gateway's URL ends in /metrics") from error


def _fetched(url: str, shown: str, parameters: dict[str, str]) -> bytes:
    try:
        with httpx.stream("GET", url, params=parameters, timeout=_PATIENCE_S) as answer:
            content = bytearray()  # bytes would be copied with each piece
            for piece in answer.iter_bytes():
                content += piece
                if len(content) > _MOST_BYTES:
                    raise DriftError(f"{shown} answers with more than {_MOST_BYTES >> 20} MiB")
            if not answer.is_success:
                raise DriftError(f"{shown} answers {answer.status_code}")
            return bytes(content)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise DriftError(f"{shown} cannot be asked: {printable_line(str(error)) or type(error).__name__}") from error

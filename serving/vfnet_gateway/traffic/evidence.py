"""What a gateway's /metrics tell of two deployments, as the numbers that a canary is judged by."""

from __future__ import annotations

import math
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

from vfnet_client.exceptions import ServerUnavailableError

_PREFIX = "vfnet_gateway_"
_READ = tuple(
    _PREFIX + name
    for name in ("deployment_images", "deployment_requests", "mirrored_images", "agreement_boxes", "deployment_image_s")
)
"""How the names of the counters that are read begin."""
_PERCENT, _MIRROR_PERCENT = f"{_PREFIX}traffic_percent", f"{_PREFIX}mirror_percent"
_IN_FLIGHT = f"{_PREFIX}deployment_images_in_flight"
_PATIENCE_S = 5.0
_LONGEST_PAGE = 16 << 20
_WHOLE = 100.0

Key = tuple[str, tuple[tuple[str, str], ...]]
"""A sample's name and its labels, sorted."""


@dataclass(frozen=True)
class Evidence:
    """Of one deployment, since some moment; the numbers are of images."""

    requests: float = 0
    answered: float = 0
    unreadable: float = 0
    failed: float = 0
    busy: float = 0
    compared: float = 0
    """Copies, likewise the next two."""
    dropped: float = 0
    failed_copies: float = 0
    both: float = 0
    """Boxes of compared images above the score, likewise the next two: see `Agreement`."""
    another_class: float = 0
    one: float = 0
    seconds: tuple[tuple[float, float], ...] = ()
    """Upper edges of the time for an image, and how many took at most so long."""
    in_flight: float = 0

    @property
    def seen(self) -> float:
        """Images and copies that say whether it works."""
        return self.answered + self.compared + self.errors

    @property
    def errors(self) -> float:
        """Those that it did not answer. An unreadable image is one only if the live one can read it."""
        return self.failed + self.unreadable + self.failed_copies

    @property
    def boxes(self) -> float:
        """Boxes that were compared."""
        return self.both + self.another_class + self.one

    @property
    def agreement(self) -> float:
        """The share of them that both answers have; 1 where there are none."""
        return self.both / self.boxes if self.boxes else 1.0

    @property
    def timed(self) -> float:
        """Images whose time is known."""
        return self.seconds[-1][1] if self.seconds else 0.0

    def quantile(self, share: float) -> float:
        """The time in seconds that this share of the images takes at most, interpolated within a bucket."""
        wanted, low, below = min(max(share, 0.0), 1.0) * self.timed, 0.0, 0.0
        for edge, count in self.seconds:
            if count >= wanted and count > below:
                high = low if math.isinf(edge) else edge
                return low + (high - low) * (wanted - below) / (count - below)
            low, below = (low if math.isinf(edge) else edge), count
        return low


@dataclass
class _Gateway:
    url: str
    last: Mapping[Key, float] = field(default_factory=dict)
    gauges: Mapping[Key, float] = field(default_factory=dict)
    was_read: bool = False


class Observer:
    """Reads the metrics of one gateway, or of several that read the same traffic file, and adds up what they count.

    A gateway that was started anew counts from 0 again, which is no loss of what it had counted before.

    Args:
        gateways: addresses, `http://host:port` each.
        key: a bearer key, where /metrics asks for one.
    """

    def __init__(self, gateways: Sequence[str], key: str | None = None) -> None:
        self._gateways = [_Gateway(url.rstrip("/")) for url in gateways]
        self._headers = {} if key is None else {"authorization": f"Bearer {key}"}
        # Loopback or the inner network: nothing for a proxy of the environment.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self._totals: Counter[Key] = Counter()

    def look(self) -> None:
        """Read them once more.

        Raises:
            ServerUnavailableError: one of them cannot be read.
        """
        for gateway in self._gateways:
            counts, gateway.gauges = self._read(gateway.url)
            if gateway.was_read:
                for key, value in counts.items():
                    before = gateway.last.get(key, 0.0)
                    self._totals[key] += value - before if value >= before else value  # type: ignore[assignment]
            gateway.last, gateway.was_read = counts, True

    def totals(self) -> Mapping[Key, float]:
        """All that was counted since the first look, to be given to `since`."""
        return dict(self._totals)

    def since(self, before: Mapping[Key, float], deployment: str) -> Evidence:
        """What was counted of a deployment since `before`."""
        label = ("deployment", deployment)
        counted = {
            key: value - before.get(key, 0.0) for key, value in self._totals.items() if label in key[1]
        }  # fmt: skip

        def of(name: str, **labels: str) -> float:
            key = f"{_PREFIX}{name}_total", tuple(sorted((label, *labels.items())))
            return counted.get(key, 0.0)

        buckets = sorted(
            (float(dict(labels)["le"]), value)
            for (name, labels), value in counted.items()
            if name == f"{_PREFIX}deployment_image_seconds_bucket"
        )
        return Evidence(
            requests=of("deployment_requests"),
            **{each: of("deployment_images", outcome=each) for each in ("answered", "unreadable", "failed", "busy")},
            compared=of("mirrored_images", outcome="compared"),
            dropped=of("mirrored_images", outcome="dropped"),
            failed_copies=of("mirrored_images", outcome="failed"),
            **{each: of("agreement_boxes", found=each) for each in ("both", "another_class", "one")},
            seconds=tuple(buckets),
            in_flight=sum(gateway.gauges.get((_IN_FLIGHT, (label,)), 0.0) for gateway in self._gateways),
        )

    def has_taken_up(self, model: str, share: Mapping[str, float] | None, mirror: Mapping[str, float]) -> bool:
        """Whether every gateway does as the file says, by its last look; `share` None: no split."""
        for gauge, wanted in ((_PERCENT, share or {}), (_MIRROR_PERCENT, mirror)):
            for gateway in self._gateways:
                found = {
                    dict(labels)["deployment"]: value
                    for (name, labels), value in gateway.gauges.items()
                    if name == gauge and ("model", model) in labels and value  # several processes keep a 0 of what was
                }
                if found != {name: percent for name, percent in wanted.items() if percent}:
                    return False
        return True

    def _read(self, url: str) -> tuple[dict[Key, float], dict[Key, float]]:
        request = urllib.request.Request(f"{url}/metrics", headers=self._headers)
        try:
            with self._opener.open(request, timeout=_PATIENCE_S) as reply:
                page = reply.read(_LONGEST_PAGE).decode("utf-8", "replace")
            counts: dict[Key, float] = {}
            gauges: dict[Key, float] = {}
            for family in text_string_to_metric_families(page):
                for sample in family.samples:
                    key = sample.name, tuple(sorted(sample.labels.items()))
                    if sample.name in (_PERCENT, _MIRROR_PERCENT, _IN_FLIGHT):
                        gauges[key] = sample.value
                    elif sample.name.startswith(_READ):
                        counts[key] = sample.value
            return counts, gauges
        except urllib.error.HTTPError as error:
            why = "it asks for a key: set VFNET_API_KEY" if error.code == 401 else f"it answers {error.code}"
            raise ServerUnavailableError(f"{url}/metrics cannot be read: {why}") from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise ServerUnavailableError(f"{url}/metrics cannot be read: {reason}") from error

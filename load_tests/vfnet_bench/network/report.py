"""The served detector beside others: the result, for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vfnet_bench.measurement import Measurement
from vfnet_bench.network.agreement import Agreement, agreement_table
from vfnet_bench.network.core_time import CoreTimes
from vfnet_bench.report import measurement_table


@dataclass(frozen=True)
class Report:
    """All that was measured, and on what."""

    measurements: Sequence[Measurement]
    setting: dict[str, Any]
    """JSON values: what was measured, with what, where and when."""
    agreements: Sequence[Agreement] = ()
    core_times: CoreTimes | None = None
    """Where the cores' time went when throughput was measured."""

    def to_json(self) -> dict[str, Any]:
        """The setting with the measurements under `measurements`, `agreements` where there were opponents, and
        `core_seconds_per_image` where these were counted."""
        document = {**self.setting, "measurements": [measurement.to_json() for measurement in self.measurements]}
        if self.agreements:
            document["agreements"] = [agreement.to_json() for agreement in self.agreements]
        if self.core_times is not None:
            document["core_seconds_per_image"] = self.core_times.to_json()
        return document

    def to_markdown(self) -> str:
        """A sentence on the setting, a table, a table of the cores' time, and a table of who detects the same."""
        parts = [self.setting_in_words(), measurement_table(self.measurements)]
        if self.core_times is not None:
            parts.append(self.core_times.to_markdown())
        if self.agreements:
            parts.append(agreement_table(self.agreements))
        return "\n\n".join(parts)

    def setting_in_words(self) -> str:
        """What was measured, and on what."""
        machine, versions, image = (self.setting[key] for key in ("machine", "versions", "image"))
        height, width = image["network_input"]
        rounds = self.setting["rounds"]
        memory = machine["memory_bytes"] / 2**30
        return (
            f"{self.setting['checkpoint']['description']}; {self.setting['precision']}, "
            f"{image['name']} at {width} x {height}, {rounds} {'round' if rounds == 1 else 'rounds'}. "
            f"{machine['cpu']}, {machine['cores_usable']} cores, {memory:.0f} GiB; "
            f"OpenVINO {versions['openvino']}, Triton {versions['triton']}."
        )

"""What is said of the machine."""

from __future__ import annotations

import json
import platform
from pathlib import Path

from vfnet_bench.network.bare_network import Concurrency, usual_ways
from vfnet_load.machine import cpu_model, describe_machine, package_versions


def test_the_processor_is_named_as_the_kernel_names_it(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel\t\t: 2\nmodel name\t: AMD EPYC 9R14\nprocessor\t: 1\n")
    assert cpu_model(cpuinfo) == "AMD EPYC 9R14"


def test_without_a_name_the_architecture_stands_in(tmp_path: Path) -> None:
    assert cpu_model(tmp_path / "absent") == platform.machine()


def test_the_facts_are_fit_for_json() -> None:
    facts = json.loads(json.dumps(describe_machine(2) | package_versions()))
    assert facts["cores_usable"] == 2
    assert facts["memory_bytes"] > 2**20
    assert facts["openvino"].startswith("20")


def test_the_engines_own_way_is_always_among_those_tried() -> None:
    assert usual_ways(2, Concurrency(1, 2)) == (
        Concurrency(1, 1),
        Concurrency(1, 2),
        Concurrency(2, 2),
        Concurrency(2, 3),
    )
    assert usual_ways(16, Concurrency(4, 5))[-1] == Concurrency(4, 5)

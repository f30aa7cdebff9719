"""Records and samples -> figures -> a page that needs nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from vfnet_load.records import ANSWERED, Record, Recorder
from vfnet_load.report.load_run import LoadRun
from vfnet_load.report.run_page import run_page
from vfnet_load.server_processes import GATEWAY, GENERATOR, MODELS, TRITON
from vfnet_load.server_samples import ServerSamples

MACHINE = {"cpu": "A Processor", "cores_usable": 2, "system": "Linux"}
SETTINGS = {"what": "a test", "command": "locust <script>"}


def sample(second: int) -> dict[str, object]:
    """Ten images a second in batches of 2.5, half a core and 10 MiB more a second for the detector."""
    counters = {
        "nv_inference_count": {"vfnet_detector": 100 + 10 * second},
        "nv_inference_exec_count": {"vfnet_detector": 50 + 4 * second},
        "nv_inference_request_success": {"vfnet_detector": 10 * second},
        "nv_inference_queue_duration_us": {"vfnet_detector": 200_000 * second},
        "nv_inference_compute_infer_duration_us": {"vfnet_detector": 500_000 * second},
    }
    groups = {name: {"cpu": 0.0, "memory": 0.0} for name in (TRITON, *MODELS, GATEWAY, GENERATOR)}
    groups["vfnet_detector"] = {"cpu": 7 + 0.5 * second, "memory": (100 + 10 * second) * 2.0**20}
    refused = {"vfnet_gateway_refusals": {"busy": 3.0 * second}}
    return {"at": 1000.0 + second, "triton": counters, "gateway": refused, "processes": groups}


def records() -> list[Record]:
    """A hundred requests in ten seconds: 90 answered after 0.1 to 9 s, ten refused."""
    answered = [Record(1000 + i / 9, (i + 1) / 10, 0.0, "gRPC", "640x480", ANSWERED) for i in range(90)]
    refused = [Record(1005 + i / 10, 0.01, 0.0, "/score", "500x375", "429: busy <b>") for i in range(10)]
    return sorted(answered + refused, key=lambda record: record.at)


@pytest.fixture
def run() -> LoadRun:
    return LoadRun(records(), ServerSamples([sample(second) for second in range(11)]), SETTINGS, MACHINE)


def test_figures_count_what_was_answered_and_why_the_rest_was_not(run: LoadRun) -> None:
    figures = json.loads(json.dumps(run.figures()))
    assert (figures["requests"], figures["answered"], figures["not_answered"]) == (100, 90, {"429: busy <b>": 10})
    assert figures["latency_s"]["p50"] == pytest.approx(4.55)
    assert figures["latency_s"]["max"] == pytest.approx(9)
    assert set(figures["latency_s_by_way"]) == {"gRPC"}  # refusals are quick, and no latency
    assert figures["answered_per_second"] == pytest.approx(90 / run.seconds)


def test_servers_are_counted_from_where_the_run_began(run: LoadRun) -> None:
    figures = run.figures()
    assert figures["mean_batch_size"] == pytest.approx(2.5)
    assert figures["seconds_per_image"]["vfnet_detector"] == pytest.approx(
        {"queue": 0.02, "input": 0, "compute": 0.05, "output": 0}
    )
    assert figures["gateway_refusals"] == {"busy": 30}
    assert figures["processes"] == {
        "vfnet_detector": {"mean_cores": pytest.approx(0.5), "peak_memory_bytes": 200 * 2**20}
    }


def test_the_page_asks_for_nothing_and_escapes_what_servers_say(run: LoadRun) -> None:
    page = run_page(run).to_html()
    addresses = re.findall(r"(?:src|href)=\"([^\"]*)\"", page)
    assert len(addresses) == 8
    assert all(address.startswith("data:image/svg+xml;base64,") for address in addresses)
    assert "429: busy &lt;b&gt;" in page
    assert "busy <b>" not in page


@pytest.mark.parametrize("rows", [[], records()[:1], records()[-3:]])
def test_little_is_a_page_too(rows: list[Record]) -> None:
    page = run_page(LoadRun(rows, ServerSamples([]), SETTINGS, MACHINE))
    assert "</html>" in page.to_html()
    assert any("were not seen" in warning for warning in page.warnings)


def test_a_generator_that_falls_behind_is_told_of() -> None:
    late = [Record(1000 + i, 2.0, 0.5, "gRPC", "640x480", ANSWERED) for i in range(10)]
    assert "fell behind" in LoadRun(late, ServerSamples([]), SETTINGS, MACHINE).warnings()[0]


def test_a_last_line_that_was_cut_short_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_text("\n".join(json.dumps(sample(second)) for second in range(3))[:-20])
    assert len(ServerSamples.read(path).at) == 2


def test_a_server_that_did_not_answer_for_a_while_leaves_a_gap() -> None:
    gone = sample(1) | {"triton": None}
    samples = ServerSamples([sample(0), gone, sample(2), sample(3)])
    assert samples.mean_batch_size() == pytest.approx(2.5)
    assert [size == size for size in samples.batch_sizes()] == [False, False, True]  # NaN is not itself


def test_a_counter_begins_when_it_is_first_needed() -> None:
    fresh = sample(0) | {"gateway": {}}
    assert ServerSamples([fresh, sample(1), sample(2)]).gateway_refusals() == {"busy": 6}


def test_a_master_hears_each_request_of_its_workers_once() -> None:
    worker, master = Recorder(), Recorder()
    for row in records()[:3]:
        worker.begin()
        worker.end(row)
    worker.begin()
    master.add_news("one", json.loads(json.dumps(worker.take_news())))
    assert (master.records, master.outstanding) == (records()[:3], 1)
    worker.end(records()[3])
    master.add_news("one", json.loads(json.dumps(worker.take_news())))
    assert (master.records, master.outstanding) == (records()[:4], 0)

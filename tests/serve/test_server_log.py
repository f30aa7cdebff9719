"""What of Triton's output people see, and what is remembered of it."""

from __future__ import annotations

import contextlib
import json
import sys
from datetime import datetime
from pathlib import Path

import pytest

from vfnet_client.json_log import write_as
from vfnet_serve.server_log import ServerLog, say

READY = 'I1123 08:36:13.946775 7402 grpc_server.cc:2558] "Started GRPCInferenceService at 0.0.0.0:9001"'
MODEL = 'I1123 08:36:10.224697 7402 model.py:34] "vfnet_detector: OpenVINO f32, 1 stream(s) on 2 thread(s)"'
NO_GPU = 'W1123 08:36:13.943738 7402 metrics.cc:798] "DCGM unable to start: DCGM initialization error"'
BAD = 'W1123 08:36:13.943738 7402 http_server.cc:98] "something a person should know"'
LOAD = (
    "E1123 08:36:13.943738 7402 model_lifecycle.cc:642] \"failed to load 'vfnet_detector' version 1: Internal: "
    'RuntimeError: Exception from network.xml: no such file\\n\\nAt:\\n  /a/b/model.py(30): initialize\\n"'
)


def test_what_models_say_and_warnings_are_shown_with_their_time_and_level() -> None:
    log = ServerLog()
    assert log.read(MODEL) == "08:36:10 INFO vfnet_detector: OpenVINO f32, 1 stream(s) on 2 thread(s)"
    assert log.read(BAD) == "08:36:13 WARNING something a person should know"


def test_tables_routine_and_the_absence_of_a_gpu_are_not_shown() -> None:
    log = ServerLog()
    assert log.read(READY) is None
    assert log.read(NO_GPU) is None
    assert log.read("| Model | Version | Status |") is None


def test_everything_is_shown_when_asked_for() -> None:
    log = ServerLog(verbose=True)
    assert log.read(READY) is not None
    assert log.read(NO_GPU) is not None
    assert log.read("| Model | Version | Status |") == "| Model | Version | Status |"


def test_the_cause_of_a_failed_load_is_remembered_without_the_stack() -> None:
    log = ServerLog()
    log.read(LOAD)
    assert log.load_failures == {"vfnet_detector": "RuntimeError: Exception from network.xml: no such file"}


def test_a_log_that_cannot_be_written_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    full = Path("/dev/full").open("w")  # noqa: SIM115 - closing it fails, too
    try:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", full)
            say("there is no room for this")
    finally:
        with contextlib.suppress(OSError):
            full.close()


def test_for_machines_each_event_is_an_object_on_a_line(capfd: pytest.CaptureFixture[str]) -> None:
    """Also Triton's own, one of several lines, and one about a request that is traced."""
    write_as("json")
    try:
        log, trace_id = ServerLog(), "ab" * 16
        model = json.loads(str(log.read(MODEL)))
        said = f'E1123 08:36:13.943738 7402 model.py:9] "it broke\\nthere (trace {trace_id})"'
        failure = json.loads(str(log.read(said)))
        say("two\nlines", "WARNING")
    finally:
        write_as("text")
    ours = json.loads(capfd.readouterr().err)
    assert (model["level"], model["logger"]) == ("INFO", "triton")
    assert model["message"] == "vfnet_detector: OpenVINO f32, 1 stream(s) on 2 thread(s)"
    assert (failure["level"], failure["trace_id"]) == ("ERROR", trace_id)
    assert (ours["level"], ours["logger"], ours["message"]) == ("WARNING", "vfnet serve", "two\nlines")
    assert all(datetime.fromisoformat(line["time"]).tzinfo is not None for line in (model, failure, ours))

"""A run's beginning and end, hung into locust's events: checks, answers of pictures alone, sampling, the report."""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from vfnet_client.atomic_files import write_whole
from vfnet_load.calls import NotAnsweredError
from vfnet_load.machine import describe_machine
from vfnet_load.options import LoadOptions
from vfnet_load.report.load_run import LoadRun
from vfnet_load.report.run_page import run_page
from vfnet_load.sampling import Sampler, SamplerError, SamplerSettings
from vfnet_load.server_samples import ServerSamples
from vfnet_load.targets import TargetError
from vfnet_load.users import abandon, answers_alone, recorder, shared_call

EXIT_REFUSED = 1
MOST_SECONDS_TO_STOP = 10.0
"""A user that has no answer by then is stopped without."""
NEWS = "vfnet"
_log = logging.getLogger("vfnet.load")


class RunKeeper:
    """Of one locust process; a worker only records."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._may_leave = bool(self._options.this_server_is_mine)
        self._report = Path(self._options.report)
        self._sampler: Sampler | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @property
    def _samples(self) -> Path:
        assert self._folder is not None
        return Path(self._folder.name) / "samples.jsonl"

    @property
    def _options(self) -> Any:
        return self._environment.parsed_options

    def check(self) -> str:
        """Where the load goes, in a word. Ends the process if it must not."""
        try:
            return self._load_options().targets.grpc
        except (TargetError, ValueError) as error:
            refuse(str(error))

    def _load_options(self) -> LoadOptions:
        load = LoadOptions.from_options(self._options)
        if not self._may_leave:  # said when the process began: a page can send any option
            load.targets.check_loopback()
        return load

    def begin(self) -> None:
        """Before users come. Ends the process if they must not, or if nothing serves."""
        options = self._options
        try:
            load = self._load_options()
            recorder.clear()
            if isinstance(self._environment.runner, WorkerRunner):
                return
            way: Any = self._environment.user_classes[0]
            # Workers get it with the master's options.
            options.alone_answers = answers_alone(shared_call(way.call_type, load), load)
        except (TargetError, ValueError) as error:
            refuse(str(error))
        except NotAnsweredError as error:
            refuse(f"nothing to load, {error}. `make up` starts a server")
        self._folder = tempfile.TemporaryDirectory(prefix="vfnet-load-")
        self._sampler = Sampler(sampler_settings(load, self._samples))
        try:
            self._sampler.start()
        except SamplerError as error:
            self._folder.cleanup()
            refuse(str(error))
        recorder.is_running = True

    def end(self) -> None:
        """When all have stopped: write the report, and its figures beside it."""
        abandon()
        recorder.is_running = False
        if self._sampler is None or self._folder is None:
            return
        self._sampler.stop()
        samples = ServerSamples.read(self._samples)
        self._folder.cleanup()
        self._sampler = self._folder = None
        records = sorted(recorder.records, key=lambda record: record.at)
        run = LoadRun(records, samples, self._settings(), describe_machine())
        report = self._report
        report.parent.mkdir(parents=True, exist_ok=True)
        write_whole(report, run_page(run).to_html().encode())
        write_whole(report.with_suffix(".json"), json.dumps(run.figures(), indent=2).encode() + b"\n")
        _log.info("report: %s", report)
        if not records:
            self._environment.process_exit_code = EXIT_REFUSED

    def _settings(self) -> dict[str, str]:
        """What was chosen, for the report; nothing that names this machine."""
        options, runner = self._options, self._environment.runner
        users = f"up to {options.num_users or 1} users, {options.shape}"
        loop = (
            "closed loop"
            if options.loop == "closed"
            else (f"open loop, {options.rate_per_user:g}/s a user, {options.arrivals} arrivals")
        )
        return {
            "what": f"{loop}; {users}; sizes {options.sizes}",
            "ways in": ", ".join(sorted(str(user.way) for user in self._environment.user_classes)),  # type: ignore[attr-defined]
            "command": " ".join(["locust", *sys.argv[1:]]),
            "workers": str(runner.worker_count) if isinstance(runner, MasterRunner) else "none, one process",
            "versions": ", ".join(f"{name} {version(name)}" for name in ("locust", "tritonclient", "vfnet")),
        }


def sampler_settings(load: LoadOptions, output: Path) -> SamplerSettings:
    """What to watch while these are loaded."""
    _, (_, triton_port), (_, gateway_port), _ = load.targets.hosts_and_ports()
    metrics, gateway = load.targets.metrics, load.targets.gateway
    return SamplerSettings(
        str(output), f"{metrics}/metrics", f"{gateway}/metrics", triton_port, gateway_port, os.getpid()
    )


def refuse(reason: str) -> NoReturn:
    """End the process: locust's own handling of an error in an event goes on with the run."""
    print(f"load test: {reason}", file=sys.stderr, flush=True)
    os._exit(EXIT_REFUSED)


def keep_runs(environment: Environment) -> None:
    """Hang a keeper into the events of this process. Ends it at once if the targets are not allowed."""
    keeper = RunKeeper(environment)
    environment.host = keeper.check()
    environment.stop_timeout = MOST_SECONDS_TO_STOP
    events = environment.events
    events.test_start.add_listener(lambda **_: keeper.begin())
    events.test_stop.add_listener(lambda **_: keeper.end())
    events.report_to_master.add_listener(lambda data, **_: data.update({NEWS: recorder.take_news()}))
    if isinstance(environment.runner, MasterRunner):
        events.worker_report.add_listener(_hear)


def _hear(client_id: str, data: dict[str, Any], **_: Any) -> None:
    """A worker's report; its first may come before it has our listeners."""
    if NEWS in data:
        recorder.add_news(client_id, data[NEWS])

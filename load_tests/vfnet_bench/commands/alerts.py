"""`vfnet bench alerts`: real faults, and the alerts that a real Prometheus rings of them, hours made minutes."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from vfnet_bench.alerts.faults import FAULTS, Scene
from vfnet_bench.alerts.prometheus_process import Prometheus, prometheus
from vfnet_bench.alerts.scaled_rules import write_scaled
from vfnet_bench.alerts.slow_network import SlowNetwork
from vfnet_bench.alerts.steady_callers import SteadyCallers
from vfnet_bench.alerts.timeline import Fault, Ringing, draw
from vfnet_bench.errors import BenchmarkError
from vfnet_bench.options import add_json_argument, add_repository_argument
from vfnet_bench.progress import Progress
from vfnet_bench.report import publish, table
from vfnet_bench.sample_photo import sample_jpeg
from vfnet_bench.served_repository import WITHOUT_NETWORK, repository_or_demo, with_fixed_time
from vfnet_bench.servers.fleet import fleet, gateway_to
from vfnet_client.atomic_files import write_whole
from vfnet_client.bounded_files import read_text
from vfnet_client.bounded_json import parse_json
from vfnet_client.commands.options import seconds
from vfnet_serve.machine import this_machine

_RULES = Path(__file__).parents[3] / "build" / "docker" / "prometheus"
_MILLISECONDS, _RATE, _OBJECTIVE = 40.0, 8.0, "0.5"
_SETTLE_S, _CALM_S, _LONGEST_CALM_S, _LOOK_S = 15.0, 30.0, 150.0, 0.5
_JPEG_BYTES = 60_000
_MOST_BYTES = 64 << 20
"""Of a result."""
_SLOWLY = "BurnsSlowly"
"""These look at days, and go on ringing when all else is over."""


@dataclass(frozen=True)
class Told:
    """What one fault rang."""

    fault: Fault
    rang: dict[str, float]
    """Seconds from the fault's beginning to the first ring, by alert."""
    silent_after: float
    """Seconds from the fault's end until all of them were silent."""
    missed: tuple[str, ...]
    """Those that should have rung and did not."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet bench alerts`."""
    add_repository_argument(parser)
    parser.add_argument(
        "--hour", type=seconds, default=60.0, metavar="S", help="so many seconds stand for one (default: %(default)g)"
    )
    parser.add_argument("--rules", type=Path, default=_RULES, metavar="DIR", help="the rules (default: the checkout's)")
    parser.add_argument("--fault", action="append", choices=list(FAULTS), help="only this one; may be repeated")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="also draw the timeline, as PNG")
    parser.add_argument(
        "--drawn-from", type=Path, metavar="FILE", help="draw what --json once wrote; nothing is started (needs --plot)"
    )
    add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Inflict the faults and print a table; 1 where an alert did not ring, or did not fall silent."""
    if arguments.drawn_from is not None:
        return _draw_again(arguments.drawn_from, arguments.plot)
    progress = Progress("alerts")
    with tempfile.TemporaryDirectory(prefix="vfnet-bench-") as name:
        scratch = Path(name)
        with _scene(arguments, scratch) as (scene, watching):
            time.sleep(_SETTLE_S)
            began = time.time()
            time.sleep(_CALM_S)
            told = []
            for fault in arguments.fault or FAULTS:
                told.append(_inflict(fault, scene, watching, began))
                progress.say(f"{fault}: {_words(told[-1].rang)}; silent {told[-1].silent_after:.0f} s after its end")
            ended = time.time()
            ringing = _ringing(watching, began, ended)
            burning = {
                series["metric"]["objective"]: [(float(at) - began, float(value)) for at, value in series["values"]]
                for series in watching.range("vfnet:burn_rate:5m", began, ended)
            }
            statuses = dict(scene.callers.statuses)
    figures = {
        "told": [asdict(each) for each in told],
        "ringing": [asdict(each) for each in ringing],
        "burn_rates": burning,
        "seconds": ended - began,
        "hour": arguments.hour,
        "statuses": statuses,
    }
    if arguments.plot:
        write_whole(arguments.plot, _picture(figures))
    publish(_text(told, statuses, arguments.hour), figures, arguments.json)
    return int(any(each.missed or each.silent_after >= _LONGEST_CALM_S for each in told))


def _picture(figures: Mapping[str, Any]) -> bytes:
    """A PNG of what `--json` writes."""
    return draw(
        [Fault(**each["fault"]) for each in figures["told"]],
        [Ringing(**each) for each in figures["ringing"]],
        figures["burn_rates"],
        figures["seconds"],
        figures["hour"],
    )


def _draw_again(file: Path, plot: Path | None) -> int:
    """
    Raises:
        BenchmarkError: there is nothing to draw, or nowhere to draw it.
    """
    if plot is None:
        raise BenchmarkError("--drawn-from draws a picture: --plot FILE says where")
    try:
        figures: Any = parse_json(read_text(file, _MOST_BYTES))
        picture = _picture(figures)
    except (ValueError, KeyError, TypeError) as error:
        raise BenchmarkError(f"{file} is nothing that vfnet bench alerts --json wrote: {error!r}") from error
    write_whole(plot, picture)
    return 0


@contextmanager
def _scene(arguments: argparse.Namespace, scratch: Path) -> Iterator[tuple[Scene, Prometheus]]:
    rules = scratch / "rules"
    rules.mkdir()
    written = write_scaled(arguments.rules, rules, 3600 / arguments.hour, _OBJECTIVE)
    repository = with_fixed_time(repository_or_demo(arguments.repository, scratch), scratch / "fixed", _MILLISECONDS)
    options = [WITHOUT_NETWORK, "--max-in-flight=10", "--max-waiting=16", "--exit-timeout=10"]
    with ExitStack() as stack:
        (server,) = stack.enter_context(fleet(repository, scratch / "fleet", 1, options))
        network = stack.enter_context(SlowNetwork(server.endpoints.grpc_port))
        behind = replace(server, endpoints=replace(server.endpoints, grpc_port=network.port))
        room = ("--max-in-flight=10", "--max-waiting=16", "--queue-timeout=2")
        gateway = stack.enter_context(gateway_to([behind], scratch / "gateway", room))
        targets = {"triton": f"127.0.0.1:{server.endpoints.metrics_port}", "gateway": f"127.0.0.1:{gateway.port}"}
        watching = stack.enter_context(prometheus(scratch, written, targets))
        image = sample_jpeg(640, 480, _JPEG_BYTES)
        callers = stack.enter_context(SteadyCallers(gateway.port, image, _RATE))
        yield Scene(server, gateway, network, callers), watching


def _inflict(name: str, scene: Scene, watching: Prometheus, start: float) -> Told:
    inflict, lasts, due = FAULTS[name]
    began = time.time()
    inflict(scene, lasts)
    ended = time.time()
    while time.time() - ended < _LONGEST_CALM_S:
        time.sleep(_LOOK_S)
        still = {alert for alert in watching.firing() if _SLOWLY not in alert}
        if not still and time.time() - ended > 5:
            break
    silent = time.time() - ended
    rang = {
        each.alert: each.began - (began - start)
        for each in _ringing(watching, start, time.time())
        if each.began >= began - start - 1 and _SLOWLY not in each.alert
    }
    return Told(Fault(name, began - start, ended - start), rang, silent, tuple(sorted(due - rang.keys())))


def _ringing(watching: Prometheus, start: float, end: float) -> list[Ringing]:
    """Each time that an alert rang, of whichever of its windows."""
    seconds: dict[tuple[str, str], set[int]] = {}
    for series in watching.range('ALERTS{alertstate="firing"}', start, end):
        key = (series["metric"]["alertname"], series["metric"]["severity"])
        seconds.setdefault(key, set()).update(round(float(at) - start) for at, _ in series["values"])
    found = []
    for (alert, severity), rang in seconds.items():
        for second in sorted(rang):
            if second - 1 not in rang:
                last = second
                while last + 1 in rang:
                    last += 1
                found.append(Ringing(alert, severity, second, last + 1))
    return sorted(found, key=lambda each: each.began)


def _text(told: Sequence[Told], statuses: dict[int, int], hour: float) -> str:
    rows = [
        (
            each.fault.name,
            f"{each.fault.ended - each.fault.began:.0f}",
            _words(each.rang) + "".join(f"; **{name} did not**" for name in each.missed),
            f"{each.silent_after:.0f}" if each.rang else "",
        )
        for each in told
    ]
    answers: list[Any] = [f"{count} with {status}" for status, count in sorted(statuses.items())]
    return (
        f"{hour:g} s stand for an hour; {_RATE:g} requests/s, the detector {_MILLISECONDS:g} ms an image, objectives "
        f"of the rules, with {_OBJECTIVE} s for the latency; {this_machine()}\n\n"
        + table(("fault", "s", "rang, seconds after its beginning", "silent, s after its end"), rows, words=(0, 2))
        + f"\n\nHTTP: {', '.join(answers)}"
    )


def _words(rang: dict[str, float]) -> str:
    return (
        ", ".join(f"{alert} {after:.0f}" for alert, after in sorted(rang.items(), key=lambda each: each[1])) or "none"
    )

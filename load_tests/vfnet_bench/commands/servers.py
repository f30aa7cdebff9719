"""`vfnet bench servers`: images/s with more servers behind a gateway; one of them killed, hanging, started again."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vfnet_bench.gateway.overhead_repository import without_decoding
from vfnet_bench.options import add_json_argument, add_repository_argument, add_seconds_argument
from vfnet_bench.progress import Progress
from vfnet_bench.report import median_and_range, publish, table
from vfnet_bench.sample_photo import sample_jpeg
from vfnet_bench.served_repository import CALLERS_WAIT, WITHOUT_NETWORK, repository_or_demo, with_fixed_time
from vfnet_bench.servers.callers import GatewayCallers, Outcome
from vfnet_bench.servers.fleet import FleetGateway, FleetServer, fleet, gateway_to
from vfnet_client.commands.options import at_least_one, milliseconds

_JPEG_BYTES = 200_000
_ROOM = "--max-in-flight=16"
"""As many as the gateway sends to one, whatever speed a server measures of itself while others start."""
_WARM_UP_S, _AFTERWARDS_S = 2.0, 5.0


@dataclass(frozen=True)
class Event:
    """What was done to one server, or to all in turn, under load."""

    name: str
    left_out_after: float | None
    """Seconds; None: not told apart."""
    back_after: float
    """Seconds from the end of what was done until it got images again."""
    outcome: Outcome


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet bench servers`."""
    add_repository_argument(parser)
    parser.add_argument("--servers", type=at_least_one, default=3, metavar="N", help="at most (default: %(default)s)")
    parser.add_argument("--callers", type=at_least_one, default=48, metavar="N", help="in turn (default: %(default)s)")
    parser.add_argument(
        "--noop", type=milliseconds, nargs="+", default=[0.0, 40.0], metavar="MS",
        help="a detector without a network that takes so long for each image, one after another (default: 0 40); the "
        "last is served while servers are killed, stopped and started again",
    )  # fmt: skip
    add_seconds_argument(parser, 5.0)
    parser.add_argument("--hang", type=float, default=15.0, metavar="SECONDS", help="that one is stopped for (15)")
    add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Measure and print two tables; 1 where a request failed."""
    progress, image = Progress("servers"), sample_jpeg(640, 480, _JPEG_BYTES)
    rates: dict[float, list[list[Outcome]]] = {}
    events: list[Event] = []
    with tempfile.TemporaryDirectory(prefix="vfnet-bench-") as folder:
        scratch = Path(folder)
        plain = without_decoding(repository_or_demo(arguments.repository, scratch), scratch / "overhead")
        for number, noop in enumerate(arguments.noop):
            repository = with_fixed_time(plain, scratch / f"fixed{number}", noop)
            options = [CALLERS_WAIT, _ROOM, WITHOUT_NETWORK, "--exit-timeout=10"]
            with fleet(repository, scratch / f"fleet{number}", arguments.servers, options) as servers:
                rates[noop] = [[] for _ in servers]
                # Up and down again: what disturbs the machine for a while disturbs more than one of them.
                counts = range(1, len(servers) + 1)
                for turn, count in enumerate([*counts, *reversed(counts)]):
                    with gateway_to(servers[:count], scratch / f"gateway{number}-{turn}") as gateway:
                        outcome = _load(gateway, image, arguments.callers, arguments.seconds)
                    rates[noop][count - 1].append(outcome)
                    progress.say(f"{noop:g} ms, {count} servers: {outcome.rate:.1f} images/s")
                if number == len(arguments.noop) - 1 and len(servers) > 1:
                    with gateway_to(servers, scratch / "gateway-events") as gateway:
                        events = _events(gateway, servers, image, arguments, progress.say)
    setting = (
        f"image: {len(image)} bytes, not decoded; {arguments.callers} callers in turn, half at /score, half over gRPC, "
        "none of which tries again"
    )
    failures = [failure for event in events for failure in event.outcome.failures]
    loads = [outcome for by_count in rates.values() for outcomes in by_count for outcome in outcomes]
    failures += [failure for outcome in loads for failure in outcome.failures]
    lines = [setting, "", _rate_table(rates), "", _event_table(events), "", *sorted(set(failures))[:5]]
    figures = {
        "setting": setting,
        "rates": {
            f"{noop:g} ms": [[_figures(outcome) for outcome in outcomes] for outcomes in by_count]
            for noop, by_count in rates.items()
        },
        "events": [{**asdict(each), "outcome": _figures(each.outcome)} for each in events],
    }
    publish("\n".join(lines).rstrip(), figures, arguments.json)
    return 1 if failures else 0


def _load(gateway: FleetGateway, image: bytes, callers: int, seconds: float) -> Outcome:
    with GatewayCallers(gateway.port, gateway.grpc_url, image, callers) as load:
        time.sleep(_WARM_UP_S)
        since = time.monotonic()
        time.sleep(seconds)
        return load.outcome(since)


def _events(
    gateway: FleetGateway,
    servers: Sequence[FleetServer],
    image: bytes,
    arguments: argparse.Namespace,
    say: Callable[[str], None],
) -> list[Event]:
    victim = servers[0]

    def killed() -> tuple[float | None, float]:
        victim.kill_triton()
        left_out = gateway.seconds_until(victim, is_in=False)
        return left_out, gateway.seconds_until(victim, is_in=True)

    def hung() -> tuple[float | None, float]:
        began = time.monotonic()
        with victim.hanging():
            left_out = gateway.seconds_until(victim, is_in=False)
            time.sleep(max(0.0, began + arguments.hang - time.monotonic()))
        return left_out, gateway.seconds_until(victim, is_in=True)

    def restarted() -> tuple[float | None, float]:
        longest = 0.0
        for server in servers:
            server.stop()
            gateway.seconds_until(server, is_in=False)
            server.start()
            longest = max(longest, gateway.seconds_until(server, is_in=True))
        return None, longest

    found = []
    doings = {
        "Triton and models killed (SIGKILL)": killed,
        f"all processes stopped for {arguments.hang:g} s (SIGSTOP)": hung,
        "all started again, one after another": restarted,
    }
    for name, do in doings.items():
        with GatewayCallers(gateway.port, gateway.grpc_url, image, arguments.callers) as load:
            time.sleep(_WARM_UP_S)
            since = time.monotonic()
            left_out, back = do()
            time.sleep(_AFTERWARDS_S)
            event = Event(name, left_out, back, load.outcome(since))
        found.append(event)
        say(f"{name}: {event.outcome.answered} answered, {len(event.outcome.failures)} failed")
    return found


def _rate_table(rates: dict[float, list[list[Outcome]]]) -> str:
    """A column for each number of servers, with the median of its turns and their range."""
    most = max(len(by_count) for by_count in rates.values())
    rows = [
        (f"{noop:g} ms an image", *(median_and_range([each.rate for each in outcomes]) for outcomes in by_count))
        for noop, by_count in rates.items()
    ]
    return table(("images/s", *(f"{count} server{'s' * (count > 1)}" for count in range(1, most + 1))), rows)


def _event_table(events: Sequence[Event]) -> str:
    rows = [
        (
            event.name,
            str(event.outcome.answered),
            str(len(event.outcome.failures)),
            "" if event.left_out_after is None else f"{event.left_out_after:.1f}",
            f"{event.back_after:.1f}",
            f"{event.outcome.rate:.1f}",
            str(event.outcome.worst_second),
            f"{event.outcome.slowest:.1f}",
        )
        for event in events
    ]
    head = (
        "under load", "answered", "failed", "s until left out", "s until back", "images/s", "in the worst second",
        "slowest s",
    )  # fmt: skip
    return table(head, rows)


def _figures(outcome: Outcome) -> dict[str, Any]:
    return {**asdict(outcome), "images_per_second": outcome.rate}

"""`vfnet bench scaling`: what the Helm chart's rule makes of a day, a burst and a lost zone, simulated."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from vfnet_bench.gateway.overhead_repository import without_decoding
from vfnet_bench.options import add_json_argument, add_repository_argument, add_seconds_argument
from vfnet_bench.progress import Progress
from vfnet_bench.report import publish, table
from vfnet_bench.sample_photo import sample_jpeg
from vfnet_bench.scaling.real_servers import BATCH, Held, hold, measure_figures
from vfnet_bench.scaling.scaling_rule import CHART_RULE, ScalingRule, Signal
from vfnet_bench.scaling.scenarios import Run, Scenario, run_scenario
from vfnet_bench.scaling.simulated_service import GatewayLimits, ServerFigures
from vfnet_bench.scaling.traffic import DAY, burst, day, steady
from vfnet_bench.served_repository import CALLERS_WAIT, WITHOUT_NETWORK, repository_or_demo, with_fixed_time
from vfnet_bench.servers.fleet import fleet, gateway_to
from vfnet_client.atomic_files import write_whole
from vfnet_client.commands.options import at_least_one, count, milliseconds, seconds

_JPEG_BYTES = 20_000
_LOADS = (0.5, 0.8)
_GATEWAYS = 2
"""The chart's; each has the places and the room of one."""
_SEED = 2
_SCENARIOS = ("day", "burst", "zone")
Compared = Sequence[tuple[str, ScalingRule | None, Run]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet bench scaling`."""
    group = parser.add_argument_group("a server, as measured")
    group.add_argument(
        "--service", type=milliseconds, default=620.0, metavar="MS",
        help="an image where many wait: 1000 / (images a second) (default: %(default)g, int8 on two cores)",
    )  # fmt: skip
    group.add_argument(
        "--overhead", type=milliseconds, default=30.0, metavar="MS",
        help="what a lone image takes beside that (default: %(default)g)",
    )  # fmt: skip
    group.add_argument(
        "--start-up", type=seconds, default=30.0, metavar="SECONDS",
        help="from wanting a server until it gets images (default: %(default)g)",
    )  # fmt: skip
    group = parser.add_argument_group("a rule")
    rule = CHART_RULE
    group.add_argument("--target", type=float, default=rule.target, metavar="N", help="images a server (%(default)g)")
    group.add_argument("--over", type=float, default=rule.over, metavar="SECONDS", help="averaged over (%(default)g)")
    group.add_argument(
        "--down-after", type=float, default=rule.down_after, metavar="SECONDS",
        help="of less load before a server is taken away (%(default)g)",
    )  # fmt: skip
    group = parser.add_argument_group("beside simulations")
    group.add_argument(
        "--real", type=count, default=0, metavar="N",
        help="hold the simulated queue against 1 to N servers that run here (default: none)",
    )  # fmt: skip
    group.add_argument(
        "--noop", type=milliseconds, default=80.0, metavar="MS",
        help="of their detector without a network (default: %(default)g)",
    )  # fmt: skip
    add_repository_argument(parser)
    add_seconds_argument(parser, 20.0)
    parser.add_argument("--peak", type=float, default=16.0, metavar="RATE", help="images a second of the day (16)")
    parser.add_argument("--most", type=at_least_one, default=40, metavar="N", help="servers (default: %(default)s)")
    parser.add_argument(
        "--scenarios", nargs="+", choices=_SCENARIOS, default=_SCENARIOS, metavar="NAME",
        help="of " + ", ".join(_SCENARIOS) + " (default: all)",
    )  # fmt: skip
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="also draw each scenario there, as a PNG")
    add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Simulate, and measure where that is asked for; 1 where a request of the real servers failed."""
    progress = Progress("scaling")
    figures = ServerFigures(arguments.service / 1000, arguments.overhead / 1000, start_up=arguments.start_up)
    compared = {
        scenario.name: _compare(scenario, figures, arguments, progress)
        for scenario in _scenarios(arguments)
        if scenario.name in arguments.scenarios
    }
    text = [
        f"a server: {figures.service:.3g} s an image, {figures.overhead:.3g} s beside it, "
        f"{figures.start_up:g} s to start; {_GATEWAYS} gateways",
        "",
        _table(compared, figures),
    ]
    if arguments.pictures:
        _draw(compared, figures, arguments.pictures)
    held = _hold(arguments, progress) if arguments.real else []
    if held:
        text += [
            "",
            f"servers here: {arguments.noop:g} ms an image, batches of {BATCH}, each ready after "
            f"{held[0].figures.start_up:.1f} s",
            "",
            _held_table(held),
        ]
    json = {
        "figures": asdict(figures),
        "scenarios": {
            name: [{"rule": rule_name, **_outcome(run)} for rule_name, _, run in runs]
            for name, runs in compared.items()
        },
        "held": [asdict(each) for each in held],
    }
    publish("\n".join(text), json, arguments.json)
    return 1 if any(each.failed for each in held) else 0


def _scenarios(arguments: argparse.Namespace) -> list[Scenario]:
    """In shares of what servers can do, so that they mean the same for slow and quick ones."""
    one = 1000.0 / arguments.service
    return [
        Scenario("day", day(arguments.peak, _SEED), DAY, servers=max(2, round(0.6 * arguments.peak / one))),
        Scenario("burst", burst(1.8 * one, 9.0 * one, 1200.0, 1800.0), 3600.0, servers=3, counts_from=600.0),
        Scenario(
            "zone", steady(5.6 * one), 3600.0, servers=8, loses_at=1800.0, lost_share=1 / 3, counts_from=900.0
        ),
    ]  # fmt: skip


def _rules(arguments: argparse.Namespace) -> dict[str, ScalingRule | None]:
    chart = ScalingRule(
        Signal.IN_FLIGHT, arguments.target, 2, arguments.most, arguments.over, down_after=arguments.down_after
    )
    return {
        f"{arguments.target:g} images in flight a server": chart,
        "4 images waiting a server": ScalingRule(Signal.WAITING, 4.0, 2, arguments.most, over=0.0),
        "as many servers as at the start": None,
    }


def _compare(scenario: Scenario, figures: ServerFigures, arguments: argparse.Namespace, progress: Progress) -> Compared:
    one = GatewayLimits()
    limits = GatewayLimits(_GATEWAYS * one.places, _GATEWAYS * one.waiting, one.patience, one.notices_after)
    runs = []
    for name, rule in _rules(arguments).items():
        outcome = run_scenario(scenario, figures, limits, rule, seed=_SEED)
        progress.say(f"{scenario.name}, {name}: {outcome.refused_share:.2%} refused")
        runs.append((name, rule, outcome))
    return runs


def _outcome(run: Run) -> dict[str, float]:
    return {
        "images": run.came,
        "refused_share": run.refused_share,
        "p50": run.latency(50),
        "p95": run.latency(95),
        "p99": run.latency(99),
        "server_hours": run.server_hours,
        "most_servers": max(run.history.ready),
        "changes": run.changes,
    }


def _table(compared: dict[str, Compared], figures: ServerFigures) -> str:
    rows = []
    for scenario, runs in compared.items():
        for name, _, run in runs:
            busy = len(run.answers) * figures.service / 3600.0
            rows.append(
                (
                    scenario, name, f"{run.refused_share:.2%}", f"{run.latency(50):.2f}", f"{run.latency(95):.2f}",
                    f"{run.latency(99):.2f}", f"{run.server_hours:.1f}", f"{busy / run.server_hours:.0%}",
                    str(max(run.history.ready)), str(run.changes),
                )
            )  # fmt: skip
    head = (
        "", "rule", "refused", "p50 s", "p95 s", "p99 s", "server hours", "busy", "most servers", "changes",
    )  # fmt: skip
    return table(head, rows, words=(0, 1))


def _draw(compared: dict[str, Compared], figures: ServerFigures, folder: Path) -> None:
    from vfnet_bench.scaling.pictures import draw  # Matplotlib, which takes a while to import

    folder.mkdir(parents=True, exist_ok=True)
    for name, runs in compared.items():
        ruled = [each for each in runs if each[1] is not None]
        write_whole(folder / f"scaling-{name}.png", draw(ruled, figures.service))


def _hold(arguments: argparse.Namespace, progress: Progress) -> list[Held]:
    image, held = sample_jpeg(320, 240, _JPEG_BYTES), list[Held]()
    with tempfile.TemporaryDirectory(prefix="vfnet-bench-") as folder:
        scratch = Path(folder)
        plain = without_decoding(repository_or_demo(arguments.repository, scratch), scratch / "overhead")
        repository = with_fixed_time(plain, scratch / "fixed", arguments.noop)
        options = [
            CALLERS_WAIT, WITHOUT_NETWORK, "--max-in-flight=16", f"--batch-size={BATCH}", "--exit-timeout=10",
        ]  # fmt: skip
        began = time.monotonic()
        with fleet(repository, scratch / "fleet", arguments.real, options) as servers:
            start_up = (time.monotonic() - began) / len(servers)
            for number in range(1, len(servers) + 1):
                with gateway_to(servers[:number], scratch / f"gateway{number}") as gateway:
                    figures = replace(asyncio.run(measure_figures(gateway.port, image, number)), start_up=start_up)
                    for load in _LOADS:
                        each = asyncio.run(
                            hold(gateway.port, image, figures, number, load, arguments.seconds, len(held))
                        )
                        held.append(each)
                        progress.say(f"{number} servers, load {load:g}: mean off by {each.error('mean'):+.0%}")
    return held


def _held_table(held: Sequence[Held]) -> str:
    rows = [
        (
            str(each.servers), f"{1000 * each.figures.service:.1f}", f"{1000 * each.figures.overhead:.1f}",
            f"{each.load:.0%}", str(each.images), str(each.failed),
            *(
                f"{1000 * each.measured[name]:.0f} / {1000 * each.predicted[name]:.0f} ({each.error(name):+.0%})"
                for name in ("mean", "p50", "p95")
            ),
        )
        for each in held
    ]  # fmt: skip
    head = (
        "servers",
        "ms an image",
        "beside it",
        "load",
        "images",
        "failed",
        *(f"{n}, ms measured / predicted" for n in ("mean", "p50", "p95")),
    )
    return table(head, rows, words=())

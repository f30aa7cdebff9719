"""The whole hostile suite: `make hostile`. Against a server of its own, as `vfnet up` starts it."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from itertools import groupby
from pathlib import Path

from attack import DOOR, TRITON, Attack
from control_plane import control_plane_attacks
from deployment import Deployment, Resources, deployed
from grpc_transport import grpc_transport_attacks
from http_protocol import http_attacks
from json_bodies import json_attacks
from judging import Judge, Verdict, summary, unmended
from malformed_tensors import tensor_attacks
from reference_answers import take_reference
from robustness_page import cell, machine, resource_table, write_section
from side_gateways import SideGateways, side_gateways
from synthetic_checkpoint import write_synthetic_checkpoint
from urls_and_keys import NAMES, key_attacks, url_attacks

_SETTLE_SECONDS = 5.0


def all_attacks(sides: SideGateways) -> list[Attack]:
    """Every one; what brings Triton down comes last."""
    attacks = [
        *control_plane_attacks(),
        *tensor_attacks(),
        *json_attacks(),
        *http_attacks(),
        *grpc_transport_attacks(),
        *url_attacks(sides),
        *key_attacks(sides),
    ]
    return sorted(attacks, key=lambda attack: bool(attack.why_not_mended))


def warm_up(deployment: Deployment, judge: Judge) -> Resources:
    """What it holds once everything has been used a little."""
    judge.warm_up()
    time.sleep(1)
    return deployment.resources()


def main() -> int:
    """0 if nothing came through."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", metavar="TEXT", help="only attacks in whose name that stands")
    parser.add_argument("--target", choices=(DOOR, TRITON), help="only attacks against one of them")
    parser.add_argument("--quick", action="store_true", help="without those that take long by nature")
    parser.add_argument("--checkpoint", default="", metavar="FILE", help="default: one of made-up weights")
    parser.add_argument(
        "--record", type=Path, default=Path("var/hostile.md"), metavar="FILE", help="every check, and what came back"
    )
    parser.add_argument("--write", action="store_true", help="the summary into docs/benchmarks/robustness.md")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # whoever ends this ends what it started
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="vfnet-hostile-") as name:
        folder, checkpoint = Path(name), arguments.checkpoint
        if not checkpoint:
            write_synthetic_checkpoint(folder / "talkative.pth", talkative=1.6)
            checkpoint = str(folder / "talkative.pth")
        started = time.monotonic()
        with deployed(folder, f"--checkpoint={checkpoint}", names=NAMES) as deployment:
            reference = take_reference(deployment)
            print(f"up after {time.monotonic() - started:.0f} s; {reference.boxes} boxes in the picture", flush=True)
            with side_gateways(deployment, reference, folder) as sides:
                attacks = [
                    attack
                    for attack in all_attacks(sides)
                    if arguments.only in str(attack)
                    and arguments.target in (None, attack.target)
                    and (attack.is_quick or not arguments.quick)
                ]
                judge = Judge(deployment, reference, lambda line: print(line, flush=True))
                before = warm_up(deployment, judge)
                started = time.monotonic()
                verdicts = judge.run(attacks)
                took = time.monotonic() - started
            time.sleep(_SETTLE_SECONDS)
            after, attempts = deployment.resources(), deployment.network_attempts()
            print(deployment.describe())
    lines = _report(verdicts, before, after, attempts, took)
    print("\n".join(lines))
    arguments.record.parent.mkdir(parents=True, exist_ok=True)
    arguments.record.write_text("\n".join(_record(verdicts)) + "\n", encoding="utf-8")
    print(f"every check: {arguments.record}")
    if arguments.write:
        write_section("hostile", lines)
    grown = after.growth_since(before)
    print("\n".join(grown))
    return int(bool(unmended(verdicts, DOOR) or unmended(verdicts, TRITON) or attempts or grown))


def _report(
    verdicts: list[Verdict], before: Resources, after: Resources, attempts: list[str], took: float
) -> list[str]:
    lines = ["## Attacks", "", machine(), f"{len(verdicts)} attacks in {took:.0f} s. After each, a real inference"]
    lines[-1] += " through Triton and one through the gateway had to be equal to those before."
    lines += ["", *(f"* {line}" for line in summary(verdicts))]
    lines += [f"* {len(attempts)} attempts to leave this machine or to resolve a name", ""]
    lines += ["| against | what | tried | through | longest wait of another caller, s | most memory, MiB |"]
    lines += ["|---|---|--:|--:|--:|--:|"]
    ordered = sorted(verdicts, key=lambda verdict: (verdict.attack.target, verdict.attack.group))
    for (target, group), each in groupby(ordered, lambda verdict: (verdict.attack.target, verdict.attack.group)):
        mine = list(each)
        wait, memory = max(v.longest_wait for v in mine), max(v.memory for v in mine)
        through = sum(bool(verdict.through) for verdict in mine)
        lines.append(f"| {target} | {group} | {len(mine)} | {through} | {wait:.1f} | {memory >> 20} |")
    came = [verdict for verdict in verdicts if verdict.through]
    if came:
        lines += ["", "| came through | what happened | healed after, s | why it is not mended |", "|---|---|--:|---|"]
        for verdict in came:
            healed = "" if verdict.healed_after is None else f"{verdict.healed_after:.1f}"
            what = cell("; ".join(verdict.through))
            lines.append(f"| {cell(verdict.attack)} | {what} | {healed} | {cell(verdict.attack.why_not_mended)} |")
    if attempts:
        lines += [
            "",
            "Attempts to leave this machine:",
            "",
            *(f"* {cell(line.partition(' by ')[0])}" for line in attempts[:20]),
        ]
    return [*lines, "", *resource_table(before, after)]


def _record(verdicts: list[Verdict]) -> list[str]:
    rows = ["| attack | came back | s | longest wait, s | MiB | through |", "|---|---|--:|--:|--:|---|"]
    return rows + [
        f"| {cell(verdict.attack)} | {cell(verdict.reply)} | {verdict.seconds:.2f} | {verdict.longest_wait:.2f} "
        f"| {verdict.memory >> 20} | {cell('; '.join(verdict.through))} |"
        for verdict in verdicts
    ]


if __name__ == "__main__":
    sys.exit(main())

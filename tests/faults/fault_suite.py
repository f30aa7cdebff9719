"""The whole fault suite: `make faults`. Against a server of its own, as `vfnet up` starts it."""

from __future__ import annotations

import argparse
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from deployment import Resources, deployed
from faults import KILL, every_fault, in_order
from inflicting import Inflicter, Outcome, describe
from reference_answers import strips_of, take_reference
from robustness_page import cell, machine, resource_table, write_section

_MOST_SECONDS = 14 * 60
_SETTLE_SECONDS = 6.0
FORGIVEN = "gRPC at Triton"
"""The caller with nothing in front that asks again for it."""


def main() -> int:
    """0 if all healed, nobody got a wrong answer, and no request failed behind the gateway or our client."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", default="demo", metavar="FILE")
    parser.add_argument("--seed", type=int, default=17, metavar="N", help="of what is drawn at random: %(default)s")
    parser.add_argument(
        "--seconds", type=float, default=_MOST_SECONDS, metavar="S", help="begin no fault later: %(default)s"
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="only faults in whose name that stands")
    parser.add_argument("--write", action="store_true", help="the tables into docs/benchmarks/robustness.md")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # whoever ends this ends what it started
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="vfnet-faults-") as name:
        started = time.monotonic()
        with deployed(Path(name), f"--checkpoint={arguments.checkpoint}") as deployment:
            reference = take_reference(deployment, strips_of(deployment.state / "sample.png"))
            print(f"up after {time.monotonic() - started:.0f} s; {reference.boxes} boxes in the picture", flush=True)
            roles = in_order(deployment.census())
            inflicter = Inflicter(deployment, reference, arguments.seed, lambda line: print(line, flush=True))
            faults = [fault for fault in every_fault(roles, arguments.seed) if arguments.only in str(fault)]
            before = deployment.resources()
            print(deployment.describe())
            outcomes = inflicter.run(faults, arguments.seconds)
            time.sleep(_SETTLE_SECONDS)
            after = deployment.resources()
            print(deployment.describe())
    lines = _report(outcomes, len(faults), arguments.seed, before, after)
    print("\n".join(lines))
    if arguments.write:
        write_section("faults", lines)
    grown = after.growth_since(before)
    print("\n".join(grown))
    return int(bool(grown) or not all(is_good(outcome) for outcome in outcomes))


def is_good(outcome: Outcome) -> bool:
    """Whether it healed, and cost nobody an answer who had something in front that asks again."""
    return outcome.healed_after is not None and not outcome.wrong and not set(outcome.failed) - {FORGIVEN}


def _report(outcomes: list[Outcome], planned: int, seed: int, before: Resources, after: Resources) -> list[str]:
    dead = sum(outcome.healed_after is None for outcome in outcomes)
    behind = sum(len(told) for each in outcomes for name, told in each.failed.items() if name != FORGIVEN)
    direct = sum(len(each.failed.get(FORGIVEN, [])) for each in outcomes)
    late = [each for each in outcomes if each.healed_after is not None and each.healed_after > each.fault.goal]
    lines = ["## Processes that die or stop", "", f"{machine()} Seed {seed}; {len(outcomes)} of {planned} faults."]
    lines += ["", f"* {dead} never healed", f"* {sum(each.wrong for each in outcomes)} wrong answers"]
    lines += [f"* {behind} requests failed behind the gateway or our client, within a deadline of 30 s"]
    lines += [f"* {direct} requests failed at Triton's own port, where nobody asks again"]
    lines += [f"* {len(late)} healed later than the goal", ""]
    lines += ["| process | killed: healed after, s | stopped: healed after, s (longest) | failed at Triton |"]
    lines += ["|---|---|---|--:|"]
    alone = [outcome for outcome in outcomes if len(outcome.fault.blows) == 1]
    for role in dict.fromkeys(outcome.fault.blows[0].role for outcome in sorted(alone, key=lambda o: str(o.fault))):
        mine = [outcome for outcome in alone if outcome.fault.blows[0].role == role]
        killed = _times(each for each in mine if each.fault.blows[0].what == KILL)
        stopped = _times(each for each in mine if each.fault.blows[0].what != KILL)
        failed = sum(len(each.failed.get(FORGIVEN, [])) for each in mine)
        lines.append(f"| {role} | {killed} | {stopped} | {failed} |")
    pairs = [outcome for outcome in outcomes if len(outcome.fault.blows) == 2]
    lines += [
        f"| two at a time ({len(pairs)}) | {_times(pairs)} | | {sum(len(p.failed.get(FORGIVEN, [])) for p in pairs)} |"
    ]
    notable = [each for each in outcomes if not is_good(each) or each in late]
    if notable:
        lines += ["", "Not as it should be:", "", *(f"* {cell(describe(each))}" for each in notable)]
    return [*lines, "", *resource_table(before, after)]


def _times(outcomes: Iterable[Outcome]) -> str:
    seconds = [each.healed_after for each in outcomes]
    known = [each for each in seconds if each is not None]
    if not seconds:
        return ""
    if not known:
        return "never"
    text = f"median {statistics.median(known):.1f}, longest {max(known):.1f}" if len(known) > 1 else f"{known[0]:.1f}"
    return text + (f", {len(seconds) - len(known)} never" if len(known) < len(seconds) else "")


if __name__ == "__main__":
    sys.exit(main())

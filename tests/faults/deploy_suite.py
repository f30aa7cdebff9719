"""Deployments during which something is killed: `make deploy-faults`. Against a server of its own."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path

from deploy_faults import EVERY, DeployFaults, Outcome
from deployment import deployed
from reference_answers import take_reference
from robustness_page import cell, machine, write_section
from synthetic_checkpoint import write_synthetic_checkpoint


def main() -> int:
    """0 if callers of the gateway noticed nothing, and the next command repaired all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=17, metavar="N", help="of what is drawn at random: %(default)s")
    parser.add_argument(
        "--seconds", type=float, default=14 * 60, metavar="S", help="begin no deployment later: %(default)s"
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="only victims in whose name that stands")
    parser.add_argument("--write", action="store_true", help="the table into docs/benchmarks/robustness.md")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # whoever ends this ends what it started
    began = time.monotonic()
    # In turns, so that each is killed where there is no time for all.
    victims = [
        name
        for turn in range(max(EVERY.values()))
        for name, times in EVERY.items()
        if turn < times and arguments.only in name
    ]
    with tempfile.TemporaryDirectory(prefix="vfnet-faults-") as name:
        folder = Path(name)
        checkpoints = [folder / "one.pth", folder / "other.pth"]
        for path, talkative in zip(checkpoints, (1.6, 1.2), strict=True):
            write_synthetic_checkpoint(path, talkative=talkative)
        with deployed(folder, f"--checkpoint={checkpoints[0]}") as deployment:
            reference = take_reference(deployment)
            faults = DeployFaults(
                deployment, reference, checkpoints, arguments.seed, lambda text: print(text, flush=True)
            )
            longest = faults.measure()
            print(f"a deployment takes {longest:.1f} s", flush=True)
            outcomes = faults.run(victims, longest, began + arguments.seconds)
    lines = report(outcomes, len(victims), arguments.seed, longest)
    print("\n".join(lines))
    if arguments.write:
        write_section("deploy-faults", lines)
    return int(not outcomes or not all(outcome.is_good for outcome in outcomes))


def report(outcomes: list[Outcome], planned: int, seed: int, longest: float) -> list[str]:
    """As a section of the page."""
    lines = ["## Deployments that are disturbed", "", f"{machine()} Seed {seed}; {len(outcomes)} of {planned}."]
    lines += ["", f"`vfnet deploy` takes {longest:.1f} s here, with the build. At a random moment of it something is "]
    lines[-1] += "killed (`kill -9`), while two callers ask `/score`. Then the same command is given once more."
    lines += [
        "",
        f"* {sum(len(each.failed) for each in outcomes)} requests failed",
        f"* {sum(each.neither for each in outcomes)} answers of neither the one model nor the other",
        f"* {sum(bool(each.repaired) for each in outcomes)} not repaired by the next command",
        "",
        "| killed | times | of these found | deployed all the same | next command, s (longest) |",
        "|---|--:|--:|--:|--:|",
    ]
    for victim in EVERY:
        mine = [each for each in outcomes if each.victim == victim]
        if mine:
            seconds, done = max(each.seconds for each in mine), sum(each.code == 0 for each in mine)
            lines.append(f"| {victim} | {len(mine)} | {sum(e.killed for e in mine)} | {done} | {seconds:.1f} |")
    bad = [each for each in outcomes if not each.is_good]
    return [*lines, *(["", "Not as it should be:", "", *(f"* {cell(each)}" for each in bad)] if bad else [])]


if __name__ == "__main__":
    sys.exit(main())

"""The whole hostile suite: `make hostile`. Against a server of its own, as `vfnet up` starts it."""

from __future__ import annotations

import argparse
import math
import re
import signal
import sys
import tempfile
import time
from pathlib import Path

from attack import DOOR, TRITON, Attack
from control_plane import control_plane_attacks
from deployment import Deployment, Resources, deployed
from grpc_transport import grpc_transport_attacks
from http_protocol import http_attacks
from json_bodies import json_attacks
from judging import Judge, unmended
from malformed_tensors import tensor_attacks
from mixed_batches import mixed_batch_attacks
from odd_jpegs import jpeg_attacks
from reference_answers import take_reference
from request_options import option_attacks
from side_gateways import SideGateways, side_gateways
from suite_report import record, report, write_parts
from suite_runs import SuiteRun
from synthetic_checkpoint import write_synthetic_checkpoint
from telling_headers import header_attacks
from tiles import tile_attacks
from urls_and_keys import NAMES, key_attacks, url_attacks

_SETTLE_SECONDS = 5.0


def all_attacks(sides: SideGateways) -> list[Attack]:
    """Every one: as large a part of each group by any time, and last what brings Triton down."""
    groups = [
        control_plane_attacks(),
        tensor_attacks(),
        json_attacks(),
        http_attacks(),
        grpc_transport_attacks(),
        url_attacks(sides),
        key_attacks(sides),
        option_attacks(),
        tile_attacks(),
        header_attacks(),
        jpeg_attacks(),
        mixed_batch_attacks(),
    ]
    places = [(position / len(group), attack) for group in groups for position, attack in enumerate(group)]
    places.sort(key=lambda place: (bool(place[1].why_not_mended), place[0]))
    return [attack for _, attack in places]


def warm_up(deployment: Deployment, judge: Judge) -> Resources:
    """What it holds once everything has been used a little."""
    judge.warm_up()
    time.sleep(1)
    return deployment.resources()


def main() -> int:
    """0 if nothing came through."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only",
        action="append",
        metavar="TEXT",
        help="only attacks in whose name that stands; several times: any of them",
    )
    parser.add_argument("--target", choices=(DOOR, TRITON), help="only attacks against one of them")
    parser.add_argument("--quick", action="store_true", help="without those that take long by nature")
    parser.add_argument(
        "--part",
        type=_part,
        default=(1, 1),
        metavar="K/N",
        help="only every Nth attack from the Kth on, of which --write writes all N together once each has run",
    )
    parser.add_argument(
        "--seconds", type=float, default=math.inf, metavar="S", help="begin no attack later (default: all of them)"
    )
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
                    if any(text in str(attack) for text in arguments.only or [""])
                    and arguments.target in (None, attack.target)
                    and (attack.is_quick or not arguments.quick)
                ]
                attacks = attacks[arguments.part[0] - 1 :: arguments.part[1]]
                judge = Judge(deployment, reference, lambda line: print(line, flush=True))
                before = warm_up(deployment, judge)
                started = time.monotonic()
                verdicts = judge.run(attacks, arguments.seconds)
                took = time.monotonic() - started
            time.sleep(_SETTLE_SECONDS)
            after, attempts = deployment.resources(), deployment.network_attempts()
            print(deployment.describe())
    run = SuiteRun(verdicts, len(attacks), before, after, attempts, took)
    print("\n".join(report([run])))
    arguments.record.parent.mkdir(parents=True, exist_ok=True)
    arguments.record.write_text("\n".join(record(verdicts)) + "\n", encoding="utf-8")
    print(f"every check: {arguments.record}")
    if arguments.write:
        write_parts(run, arguments.record.parent, *arguments.part)
    grown = after.growth_since(before)
    print("\n".join(grown))
    return int(bool(unmended(verdicts, DOOR) or unmended(verdicts, TRITON) or attempts or grown))


def _part(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([1-9])/([1-9])", text)
    if found is None or int(found[1]) > int(found[2]):
        raise argparse.ArgumentTypeError(f"{text!r} is no part such as 1/2")
    return int(found[1]), int(found[2])


if __name__ == "__main__":
    sys.exit(main())

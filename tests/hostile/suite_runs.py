"""What became of one run of the suite, kept in a file, so that a run in parts is reported as one."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from attack import Attack, Reply
from deployment import Deployment, Resources
from judging import Verdict
from vfnet_client.atomic_files import write_whole


@dataclass(frozen=True)
class SuiteRun:
    """One run, or one part of it."""

    verdicts: list[Verdict]
    planned: int
    """Attacks, of which there may not have been time for all."""
    before: Resources
    """Of the server, once it was used a little."""
    after: Resources
    attempts: list[str]
    """To leave this machine."""
    seconds: float


def write_run(run: SuiteRun, file: Path) -> None:
    """For `read_run`."""
    document = {
        "verdicts": [_written(verdict) for verdict in run.verdicts], "planned": run.planned,
        "before": asdict(run.before), "after": asdict(run.after), "attempts": run.attempts, "seconds": run.seconds,
    }  # fmt: skip
    write_whole(file, json.dumps(document).encode())


def read_run(file: Path) -> SuiteRun:
    """What `write_run` wrote. Its attacks cannot be made again."""
    document = json.loads(file.read_text(encoding="utf-8"))
    return SuiteRun(
        [_read(row) for row in document["verdicts"]], document["planned"],
        Resources(**document["before"]), Resources(**document["after"]), document["attempts"], document["seconds"],
    )  # fmt: skip


def _written(verdict: Verdict) -> dict[str, Any]:
    attack, reply = verdict.attack, verdict.reply
    return {
        "attack": [attack.group, attack.name, attack.target, attack.why_not_mended],
        "reply": [reply.outcome, reply.text[:1000]],
        **{name: getattr(verdict, name) for name in _FIELDS},
    }


_FIELDS = ("seconds", "longest_wait", "memory", "through", "restarts", "healed_after")


def _read(row: dict[str, Any]) -> Verdict:
    group, name, target, why = row["attack"]
    attack = Attack(group, name, target, _sent_before, why_not_mended=why)
    return Verdict(attack, Reply(*row["reply"]), **{name: row[name] for name in _FIELDS})


def _sent_before(_deployment: Deployment) -> Reply:
    raise AssertionError("it was read from a file")

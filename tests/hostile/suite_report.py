"""What the suite found, as a section of the page about robustness; and every check, as a table of its own."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from judging import Verdict, summary
from robustness_page import cell, machine, resource_table, write_section
from suite_runs import SuiteRun, read_run, write_run


def write_parts(run: SuiteRun, folder: Path, number: int, parts: int) -> None:
    """Into the page, if every part has run; each leaves its own beside the others."""
    files = [folder / f"hostile_{each}_of_{parts}.json" for each in range(1, parts + 1)]
    write_run(run, files[number - 1])
    missing = [file.name for file in files if not file.exists()]
    if missing:
        print(f"not written yet: there is no {', '.join(missing)}")
    else:
        write_section("hostile", report([read_run(file) for file in files]))
        for file in files:  # or a later part would be reported with these
            file.unlink()


def report(runs: list[SuiteRun]) -> list[str]:
    """Of one run, or of several that are parts of one."""
    verdicts = [verdict for run in runs for verdict in run.verdicts]
    attempts = [attempt for run in runs for attempt in run.attempts]
    lines = ["## Attacks", "", machine(), f"{len(verdicts)} attacks in {sum(run.seconds for run in runs):.0f} s"]
    if len(verdicts) < (planned := sum(run.planned for run in runs)):
        lines[-1] = lines[-1].replace(" attacks", f" of {planned} attacks", 1)
    lines[-1] += f", in {len(runs)} parts with a server each." if len(runs) > 1 else "."
    lines[-1] += (
        " After each, a real inference through Triton and one through the gateway had to be equal to those before."
    )
    lines[-1] += " An attack may be a hundred requests."
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
    tables = [resource_table(run.before, run.after) for run in runs]
    for number, table in enumerate(tables, 1):
        lines += ["", *([f"Part {number}:", ""] if len(runs) > 1 else []), *table]
    return lines


def record(verdicts: list[Verdict]) -> list[str]:
    """Every check, as a table."""
    rows = ["| attack | came back | s | longest wait, s | MiB | through |", "|---|---|--:|--:|--:|---|"]
    return rows + [
        f"| {cell(verdict.attack)} | {cell(verdict.reply)} | {verdict.seconds:.2f} | {verdict.longest_wait:.2f} "
        f"| {verdict.memory >> 20} | {cell('; '.join(verdict.through))} |"
        for verdict in verdicts
    ]

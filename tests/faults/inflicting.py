"""Makes the faults, one after another, under load, and says of each how long it took to heal and whom it cost what."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import psutil

from callers import Callers
from deployment import Deployment
from faults import KILL, Blow, Fault
from reference_answers import Reference

_SETTLE_S = 1.5
"""For so long everything has to be well before the next fault."""
_DEAD_AFTER_S = 90.0
_LOOK_EVERY_S = 0.05


@dataclass
class Outcome:
    """What became of one fault."""

    fault: Fault
    healed_after: float | None
    """Seconds from the first blow until all processes are there and all callers answered; None: never."""
    failed: dict[str, list[str]] = field(default_factory=dict)
    """By caller, what its requests that failed were told."""
    wrong: int = 0
    killed: list[str] = field(default_factory=list)
    """Roles that had other processes afterwards."""


class Inflicter:
    """Runs faults against one deployment."""

    def __init__(
        self, deployment: Deployment, reference: Reference, seed: int, say: Callable[[str], None] = print
    ) -> None:
        self._deployment, self._reference, self._say = deployment, reference, say
        self._dice = random.Random(seed)
        self._expected = deployment.census()

    def run(self, faults: Iterable[Fault], seconds: float) -> list[Outcome]:
        """As many of these, in their order, as begin within so many seconds."""
        outcomes, end = [], time.monotonic() + seconds
        with Callers(self._deployment, self._reference) as callers:
            assert self._wait_until_well(callers, time.monotonic(), 60) is not None
            for fault in faults:
                if time.monotonic() > end:
                    break
                time.sleep(self._dice.uniform(0, 0.6))  # at any moment of the callers' requests
                outcome = self._one(fault, callers)
                outcomes.append(outcome)
                self._say(describe(outcome))
        return outcomes

    def _one(self, fault: Fault, callers: Callers) -> Outcome:
        before = self._deployment.identities()
        started = time.monotonic()
        timers: list[threading.Timer] = []
        for number, blow in enumerate(fault.blows):
            if number and fault.apart:
                time.sleep(max(0.0, started + fault.apart - time.monotonic()))
            self._strike(blow, timers)
        healed = self._wait_until_well(callers, started, _DEAD_AFTER_S)
        outcome = Outcome(fault, None if healed is None else healed - started)
        for timer in timers:
            if outcome.healed_after is None:
                timer.join()
            timer.cancel()
        failures = callers.failures_since(started)
        outcome.wrong = sum(ask.is_wrong for asks in failures.values() for ask in asks)
        outcome.failed = {name: [ask.failure for ask in asks] for name, asks in failures.items() if asks}
        if healed is None:
            self._say(f"{fault}: never healed ({self._missing()}); starting it anew")
            self._deployment.stop()
            self._deployment.start()
            self._wait_until_well(callers, time.monotonic(), 60)
        outcome.killed = sorted({role for role, _ in before ^ self._deployment.identities()})
        return outcome

    def _strike(self, blow: Blow, timers: list[threading.Timer]) -> None:
        victims = self._deployment.processes().get(blow.role, [])
        if not victims:
            return  # the first blow took it along
        victim = self._dice.choice(victims)
        try:
            if blow.what == KILL:
                victim.kill()
            else:
                victim.send_signal(signal.SIGSTOP)
            self._absent_at = time.monotonic()
        except psutil.NoSuchProcess:
            return
        if blow.what == KILL:
            return
        timer = threading.Timer(blow.seconds, _wake, args=(victim,))
        timer.daemon = True
        timer.start()
        timers.append(timer)

    def _wait_until_well(self, callers: Callers, since: float, patience: float) -> float | None:
        """When everything was there and everybody answered, and then stayed so; None: not within so many seconds."""
        well_at = None
        while time.monotonic() - since < patience + _SETTLE_S:
            right = callers.right_since(since)
            if right is None or self._missing():
                well_at = None
            elif well_at is None:
                well_at = time.monotonic()
                begun = max(right, since)
            elif time.monotonic() - well_at > _SETTLE_S:
                # Answers may have come all the time, and a process been away; or the other way round.
                return max(begun, well_at) if self._was_away(since) else begun
            self._note_absence()
            time.sleep(_LOOK_EVERY_S)
        return None

    _absent_at = 0.0

    def _note_absence(self) -> None:
        if self._missing():
            self._absent_at = time.monotonic()

    def _was_away(self, since: float) -> bool:
        return self._absent_at >= since

    def _missing(self) -> str:
        missing = Counter(self._expected) - self._deployment.census()
        return ", ".join(f"{count} {role}" for role, count in missing.items())


def _wake(process: psutil.Process) -> None:
    try:
        if process.is_running():  # by its time of creation, too
            process.send_signal(signal.SIGCONT)
    except psutil.NoSuchProcess:
        pass


def describe(outcome: Outcome) -> str:
    """One line."""
    healed = "NEVER" if outcome.healed_after is None else f"{outcome.healed_after:.1f} s"
    failed = ", ".join(f"{len(told)} {name}" for name, told in outcome.failed.items()) or "none"
    text = f"{outcome.fault}: healed after {healed} (goal {outcome.fault.goal:.0f}); failed: {failed}"
    for name, told in outcome.failed.items():
        if name != "gRPC at Triton":
            text += f"\n    {name}: {told[0][:160]}"
    return text + (f"; {outcome.wrong} WRONG ANSWERS" if outcome.wrong else "")

"""Makes the attacks, one after another, and says of each what came back, what it cost the others, and what it broke."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from attack import DOOR, TRITON, Attack, Reply
from deployment import Deployment
from reference_answers import GRPCCaller, NoAnswerError, Reference, ask_score

BYSTANDER_LIMIT_S = 4.0
"""Longest that an honest caller may wait while somebody attacks the door. Two busy cores are slower than an idle one."""
MEMORY_LIMIT = 1200 << 20
"""Bytes that all processes together may take at most while one attack goes on: some images of the largest size."""
_HEALTH_SECONDS = 5.0
_HEAL_SECONDS = 60.0
_ASK_EVERY_S = 0.15
_QUEUE_IS_FULL = "Exceeds maximum queue size"
"""In Triton's words."""


@dataclass
class Verdict:
    """What became of one attack."""

    attack: Attack
    reply: Reply
    seconds: float
    longest_wait: float
    """Of an honest caller at /score meanwhile."""
    memory: int
    """Bytes that all processes together took more at the worst moment."""
    through: list[str] = field(default_factory=list)
    """What is wrong, a phrase each; empty where nothing came through."""
    restarts: list[str] = field(default_factory=list)
    """Roles of processes that are others than before."""
    healed_after: float | None = None
    """Seconds, where answers were missing or wrong afterwards; infinite where it took a new `vfnet up`."""


class Bystander:
    """An honest caller at /score, and somebody who watches the memory, all the time."""

    def __init__(self, deployment: Deployment, reference: Reference) -> None:
        self._deployment, self._reference = deployment, reference
        self._stop, self._lock = threading.Event(), threading.Lock()
        self._asked_at: float | None = None
        self._longest, self._most = 0.0, 0
        self.wrong: list[str] = []
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._ask, self._weigh)]

    def __enter__(self) -> Bystander:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_details: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=90)

    def _ask(self) -> None:
        while not self._stop.wait(_ASK_EVERY_S):
            started = time.monotonic()
            with self._lock:
                self._asked_at = started
            answer = None
            try:
                answer = ask_score(self._deployment.score_port, self._reference.score_body, 60)
            except (NoAnswerError, OSError) as error:
                self.wrong.append(str(error)[:200])
            with self._lock:
                self._asked_at = None
                self._longest = max(self._longest, time.monotonic() - started)
            if answer is not None and answer != self._reference.document:
                self.wrong.append(f"another answer: {answer[:100]!r}")

    def _weigh(self) -> None:
        while not self._stop.wait(0.25):
            total = sum(self._deployment.memory().values())
            with self._lock:
                self._most = max(self._most, total)

    def begin(self) -> None:
        """Forget what was."""
        with self._lock:
            self._longest = self._most = 0
            self.wrong = []

    def longest_wait(self) -> float:
        """Seconds since `begin`, of a request that is still waiting too."""
        with self._lock:
            waiting = 0.0 if self._asked_at is None else time.monotonic() - self._asked_at
            return max(self._longest, waiting)

    def most_memory(self) -> int:
        """Bytes."""
        return max(self._most, sum(self._deployment.memory().values()))


class Judge:
    """Runs attacks against one deployment and judges them."""

    def __init__(self, deployment: Deployment, reference: Reference, say: Callable[[str], None] = print) -> None:
        self._deployment, self._reference, self._say = deployment, reference, say
        self._caller = GRPCCaller(deployment.grpc_port)

    def warm_up(self, times: int = 20) -> None:
        """Use both ways a little, as all the attacks will, so that what is measured first is no first use."""
        for _ in range(times):
            assert not self._health()

    def run(self, attacks: Iterable[Attack], seconds: float = math.inf) -> list[Verdict]:
        """As many of these, one after another, as begin within so many seconds."""
        verdicts, end = [], time.monotonic() + seconds
        with Bystander(self._deployment, self._reference) as bystander:
            for attack in attacks:
                if time.monotonic() > end:
                    break
                verdict = self._one(attack, bystander)
                verdicts.append(verdict)
                if verdict.through:
                    self._say(f"{attack}: {verdict.reply}: {'; '.join(verdict.through)}")
        self._caller.close()
        return verdicts

    def _one(self, attack: Attack, bystander: Bystander) -> Verdict:
        before, memory = self._deployment.identities(), sum(self._deployment.memory().values())
        bystander.begin()
        started = time.monotonic()
        reply = attack.send(self._deployment)
        ended = time.monotonic()
        seconds = ended - started
        failure = self._health()
        verdict = Verdict(attack, reply, seconds, bystander.longest_wait(), max(0, bystander.most_memory() - memory))
        after = self._deployment.identities()
        if failure or after != before:
            verdict.healed_after = self._heal(ended)
            after = self._deployment.identities()
            verdict.restarts = sorted({role for role, _ in before ^ after})
        verdict.longest_wait = max(verdict.longest_wait, bystander.longest_wait())
        if not attack.allowed(reply):
            verdict.through.append(f"came back: {reply}")
        if failure:
            verdict.through.append(f"afterwards: {failure}")
        if verdict.restarts:
            verdict.through.append(f"died: {', '.join(verdict.restarts)}")
        if bystander.wrong and attack.target == DOOR:
            verdict.through.append(f"others were told: {bystander.wrong[0]}")
        if verdict.longest_wait > BYSTANDER_LIMIT_S and attack.target == DOOR:
            verdict.through.append(f"others waited {verdict.longest_wait:.1f} s")
        if verdict.memory > MEMORY_LIMIT:
            verdict.through.append(f"took {verdict.memory >> 20} MiB")
        return verdict

    def _health(self) -> str:
        """What is wrong with a real inference by both ways; empty if nothing is."""
        try:
            if self._ask_triton() != self._reference.tensors:
                return "Triton's answer is another"
        except NoAnswerError as error:
            return f"Triton: {error}"
        try:
            document = ask_score(self._deployment.score_port, self._reference.score_body, _HEALTH_SECONDS)
        except (NoAnswerError, OSError) as error:
            return f"/score: {error}"
        return "" if document == self._reference.document else "the gateway's answer is another"

    def _ask_triton(self) -> bytes:
        """The tensors. Again within the same seconds while the queue is full: it has work, as after any load."""
        until = time.monotonic() + _HEALTH_SECONDS
        while True:
            try:
                return self._caller.ask(self._reference.image, until - time.monotonic())
            except NoAnswerError as error:
                if _QUEUE_IS_FULL not in str(error) or until - time.monotonic() < 2 * _ASK_EVERY_S:
                    raise
            time.sleep(_ASK_EVERY_S)

    def _heal(self, since: float) -> float:
        """Seconds until both ways answer as before; infinite where it had to be started anew."""
        good_since = None
        expected = self._deployment.census()
        while time.monotonic() - since < _HEAL_SECONDS:
            if self._health():
                good_since = None
            elif good_since is None:
                good_since = time.monotonic()
            elif time.monotonic() - good_since > 1.5 and self._deployment.census() >= expected:
                return good_since - since
            time.sleep(0.2)
        self._say(f"does not heal within {_HEAL_SECONDS:g} s: starting it anew")
        self._deployment.stop()
        self._deployment.start()
        return float("inf")


def unmended(verdicts: Iterable[Verdict], target: str) -> list[Verdict]:
    """Those that came through, for which there is no reason that excuses them, or that did not heal."""
    return [
        verdict
        for verdict in verdicts
        if verdict.attack.target == target
        and verdict.through
        and (target == DOOR or not verdict.attack.why_not_mended or verdict.healed_after == float("inf"))
    ]


def summary(verdicts: list[Verdict]) -> list[str]:
    """A line for the door and one for Triton's ports."""
    lines = []
    for target, name in ((DOOR, "the door"), (TRITON, "Triton's own ports")):
        mine = [verdict for verdict in verdicts if verdict.attack.target == target]
        through = [verdict for verdict in mine if verdict.through]
        excused = [verdict for verdict in through if verdict not in unmended(mine, target)]
        restarts = sum(bool(verdict.restarts) for verdict in mine)
        line = f"{name}: {len(mine)} tried, {len(through) - len(excused)} through, {restarts} restarts"
        if excused:
            healed = max(verdict.healed_after or 0 for verdict in excused)
            line += f"; {len(excused)} cannot be mended from outside, each healed within {healed:.1f} s"
        lines.append(line)
    return lines

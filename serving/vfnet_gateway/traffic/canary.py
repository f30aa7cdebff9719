"""Try a new deployment on a growing share of the traffic, and take it back by itself when it does worse.

    Canary(CanaryPlan("vfnet.2", promote=True), CanaryLimits(), gateways=["http://127.0.0.1:5001"],
           traffic_file=Path("var/traffic.toml")).run()

First it only gets copies, so that a model that answers differently is found out before a caller sees its answers. Then
it gets a share, step by step. The gateways' metrics are the evidence, the traffic file is all that is changed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, NoReturn

from vfnet_client.atomic_files import locked_file, write_inside
from vfnet_client.commands.options import duration, percent
from vfnet_client.exceptions import CommandError, ServerUnavailableError
from vfnet_client.model_names import MODEL
from vfnet_gateway.traffic.evidence import Evidence, Key, Observer
from vfnet_gateway.traffic.judging import CanaryLimits, complaint, describe
from vfnet_gateway.traffic.split import PLACES, WHOLE, TrafficSplit, change_split, read_traffic, render_traffic

_LADDER = (25.0, 50.0)
"""Shares after the first."""
_LOOK_EVERY_S = 1.0
_TELL_EVERY_S = 30.0
_TAKE_UP_S = 15.0
"""For the gateways to do as the file says; they look once a second."""
_UNREAD_S = 30.0
"""For a gateway that is started anew."""


@dataclass(frozen=True)
class CanaryPlan:
    """What is tried, and how."""

    candidate: str
    """The deployment to try: an ensemble that Triton serves."""
    model: str = MODEL
    """The public model whose traffic it is tried on."""
    canary: Annotated[float, percent, "PERCENT"] = 10.0
    """First share of the requests."""
    seconds: Annotated[float, duration, "TIME", "--for"] = 600.0
    """How long it is tried altogether, such as 90s or 10m.

    With `promote`, each step takes an equal part."""
    mirror: Annotated[float, percent, "PERCENT"] = 20.0
    """Of the live one's images, copied to the candidate to compare the answers, while there is room; 0: none."""
    promote: bool = False
    """Go on to 25, 50 and 100 percent; without it the candidate keeps its first share."""
    patience: Annotated[float, duration, "TIME"] = 600.0
    """How much longer a step may take where too few images come; then the candidate goes back."""

    def __post_init__(self) -> None:
        if not 0 < self.canary < WHOLE:
            raise ValueError(f"--canary {self.canary:g}: a first share is above 0 and below 100 percent")

    @property
    def steps(self) -> tuple[float, ...]:
        """Shares in percent, one after the other."""
        return (self.canary, *(each for each in _LADDER if self.promote and each > self.canary))


@dataclass(frozen=True)
class CanaryResult:
    """What became of a candidate."""

    passed: bool
    reason: str
    """One paragraph: what was done, why, and the figures."""


class _TakenBackError(Exception):
    """The candidate goes back; the text is why, as part of a sentence."""


class _ChangedByOthersError(Exception):
    """Somebody has changed the traffic meanwhile."""


class Canary:
    """One trial. To be run once.

    Args:
        gateways: addresses of all gateways that read the traffic file.
        key: a bearer key, where their metrics ask for one.
        hands_back: whether a candidate that has passed gets the traffic in another way, as `vfnet deploy` gives it:
            then the split is as it was before in any case.
        say: takes a line of progress.
        sleep: waits so many seconds.
        clock: seconds that pass.
    """

    def __init__(
        self,
        plan: CanaryPlan,
        limits: CanaryLimits,
        *,
        gateways: Sequence[str],
        traffic_file: Path,
        key: str | None = None,
        hands_back: bool = False,
        say: Callable[[str], None] = lambda _: None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plan, self._limits, self._file = plan, limits, traffic_file
        self._observer = Observer(gateways, key)
        self._hands_back = hands_back
        self._say, self._sleep, self._clock = say, sleep, clock
        self._before: TrafficSplit | None = None
        self._live = plan.model
        self._written: TrafficSplit | None = None
        self._began: Mapping[Key, float] = {}
        """What was counted when it began."""
        self._answered, self._heard_at = 0.0, 0.0
        self._read_at = 0.0
        self._told_at = 0.0
        self._started_at = 0.0
        self._share = 0.0

    def run(self) -> CanaryResult:
        """Try it. When this is interrupted, the traffic is as it was before.

        Raises:
            CommandError: it cannot begin: another trial of this model runs, the traffic is split already, the traffic
                file or a gateway cannot be read, or a gateway does not take the file up.
        """
        with self._alone():
            self._undo_a_killed_one()
            self._before = self._written = read_traffic(self._file).get(self._plan.model)
            self._live = self._live_deployment()
            try:
                self._observer.look()
            except ServerUnavailableError as error:
                raise CommandError(str(error)) from error
            self._started_at = self._heard_at = self._read_at = self._told_at = self._clock()
            earlier = {} if self._before is None else {self._plan.model: self._before}
            write_inside(self._note, render_traffic(earlier).encode())
            try:
                return self._concluded()
            finally:
                self._note.unlink(missing_ok=True)

    def _concluded(self) -> CanaryResult:
        try:
            self._try()
        except _ChangedByOthersError:
            return CanaryResult(False, f"Stopped: somebody else has changed the traffic. {self._figures()}")
        except _TakenBackError as error:
            self._take_back()
            return CanaryResult(False, self._taken_back(error))
        except BaseException:
            self._take_back()
            raise
        return self._passed()

    @property
    def _note(self) -> Path:
        """Holds the split before a trial while that is at work, for the next one if it is killed."""
        return self._file.with_name(f".{self._file.name}.canary.{self._plan.model}.before")

    def _undo_a_killed_one(self) -> None:
        """To be called by whoever has the lock: then no other trial is at work. What came after that one stays."""
        if not self._note.exists():
            return
        with suppress(FileNotFoundError):
            if self._note.stat().st_mtime_ns >= self._file.stat().st_mtime_ns:
                change_split(self._file, self._plan.model, read_traffic(self._note).get(self._plan.model))
                self._say(f"an earlier trial was killed: the traffic of {self._plan.model} is as before that")
        self._note.unlink()

    def _try(self) -> None:
        plan = self._plan
        if plan.mirror:
            self._shift(0)
            self._say(
                f"{plan.candidate} gets copies of {plan.mirror:g} % of the images, and callers none of its answers"
            )
            self._hold(0, self._is_compared)
        part = plan.seconds / len(plan.steps)
        for share in plan.steps:
            self._shift(share)
            self._say(f"{plan.candidate} gets {share:g} % of the requests for {part:g} s")
            step_began = self._observer.totals()
            self._hold(part, partial(self._is_seen, step_began))

    def _taken_back(self, why: _TakenBackError) -> str:
        plan, before = self._plan, self._before
        return (
            f"{plan.candidate} was taken back after {self._elapsed():.0f} s, with {self._share:g} % of the requests: "
            f"{why}. {self._figures()} The traffic of {plan.model} is as it was: "
            f"{'all its own' if before is None else before.describe()}."
        )

    def _passed(self) -> CanaryResult:
        plan, figures = self._plan, self._figures()
        sticky = None if self._before is None else self._before.sticky_header
        if self._hands_back:
            self._take_back()
            done = f"{plan.candidate} has passed its trial"
        elif plan.promote:
            self._write(TrafficSplit({plan.candidate: WHOLE, self._live: 0.0}, {}, sticky))
            done = f"{plan.candidate} now gets all requests for {plan.model}"
        else:
            self._write(TrafficSplit(_between(self._live, plan.candidate, plan.canary), {}, sticky))
            done = (
                f"{plan.candidate} keeps {plan.canary:g} % of the requests for {plan.model}; give it all with: vfnet "
                f"traffic {plan.candidate}=100"
            )
        return CanaryResult(True, f"{done}: within the limits for {self._elapsed():.0f} s. {figures}")

    def _hold(self, seconds: float, is_enough: Callable[[], str | None]) -> None:
        """Watch for so long, and on until `is_enough` no longer says what is missing.

        Raises:
            _TakenBackError: something speaks against the candidate, or too little can be said of it.
        """
        step_began, began = self._observer.totals(), self._clock()
        while True:
            self._look(step_began)
            passed = self._clock() - began
            missing = is_enough()
            if passed >= seconds and missing is None:
                break
            if passed > seconds + self._plan.patience:
                raise _TakenBackError(f"too little could be said of it: {missing}")
            self._tell(missing)
            self._sleep(_LOOK_EVERY_S)
        self._judge(step_began, is_final=True)

    def _look(self, step_began: Mapping[Key, float]) -> None:
        if not self._see():
            return
        if read_traffic(self._file).get(self._plan.model) != self._written:
            raise _ChangedByOthersError
        self._listen()
        self._judge(step_began)

    def _see(self) -> bool:
        """Read the metrics; whether they could be read, which they need not at once: gateways are started anew."""
        try:
            self._observer.look()
        except ServerUnavailableError as error:
            if self._clock() - self._read_at > _UNREAD_S:
                raise _TakenBackError(f"what happens could not be seen for {_UNREAD_S:g} s: {error}") from error
            return False
        self._read_at = self._clock()
        return True

    def _listen(self) -> None:
        """Whether the candidate answers at all: what it does not answer counts as failed only after a minute."""
        candidate = self._of(self._began, self._plan.candidate)
        if candidate.seen > self._answered or not candidate.in_flight:
            self._answered, self._heard_at = candidate.seen, self._clock()
        silence = self._clock() - self._heard_at
        if silence > self._limits.max_silence:
            raise _TakenBackError(
                f"it has answered nothing for {silence:.0f} s, with {candidate.in_flight:g} images waiting in it"
            )

    def _judge(self, step_began: Mapping[Key, float], *, is_final: bool = False) -> None:
        """Errors and answers since the beginning, times since this step began: they change with the load."""
        for began in (self._began, step_began):
            candidate, live = self._of(began, self._plan.candidate), self._of(began, self._live)
            reason = complaint(candidate, live, self._limits, is_final=is_final)
            if reason is not None:
                raise _TakenBackError(reason)

    def _is_compared(self) -> str | None:
        """What is missing before callers may get its answers."""
        found = self._of(self._began, self._plan.candidate)
        if found.compared >= self._limits.min_compared:
            return None
        dropped = f", and {found.dropped:g} copies found no room" if found.dropped else ""
        return f"{found.compared:g} of {self._limits.min_compared} answers were compared{dropped}"

    def _is_seen(self, step_began: Mapping[Key, float]) -> str | None:
        """What is missing before a step can end."""
        answered = self._of(step_began, self._plan.candidate).answered
        if answered >= self._limits.min_images:
            return None
        return f"it answered {answered:g} of {self._limits.min_images} images"

    def _shift(self, share: float) -> None:
        """Give the candidate this share.

        Raises:
            CommandError: the gateways do not take it up.
        """
        plan = self._plan
        mirror = {plan.candidate: plan.mirror} if plan.mirror else {}
        sticky = None if self._before is None else self._before.sticky_header
        split = TrafficSplit(_between(self._live, plan.candidate, share), mirror, sticky)
        if read_traffic(self._file).get(plan.model) != self._written:
            raise _ChangedByOthersError
        self._write(split)
        deadline = self._clock() + _TAKE_UP_S
        while not (is_seen := self._see()) or not self._observer.has_taken_up(plan.model, split.share, split.mirror):
            if not is_seen:
                deadline = self._clock() + _TAKE_UP_S
            elif self._clock() > deadline:
                self._not_taken_up()
            self._sleep(_LOOK_EVERY_S / 4)
        self._share, self._heard_at = share, self._clock()

    def _take_back(self) -> None:
        """The traffic as it was, and a moment for the gateways to know: the candidate may be unloaded next."""
        self._write(self._before)
        before, deadline = self._before, self._clock() + _TAKE_UP_S
        share, mirror = (None, {}) if before is None else (before.share, before.mirror)
        while self._clock() < deadline:
            with suppress(ServerUnavailableError):
                self._observer.look()
                if self._observer.has_taken_up(self._plan.model, share, mirror):
                    return
            self._sleep(_LOOK_EVERY_S / 4)

    def _not_taken_up(self) -> NoReturn:
        raise CommandError(
            f"the gateway has not taken up {self._file} within {_TAKE_UP_S:g} s: does Triton serve "
            f"{self._plan.candidate}, and does the gateway run with --traffic-file {self._file}? Its log says why. The "
            f"traffic of {self._plan.model} is as it was"
        )

    def _write(self, split: TrafficSplit | None) -> None:
        change_split(self._file, self._plan.model, split)
        os.utime(self._note)  # not older than the file: what is in there is ours
        self._written = split

    def _tell(self, missing: str | None) -> None:
        if self._clock() - self._told_at >= _TELL_EVERY_S:
            self._told_at = self._clock()
            self._say(f"{self._elapsed():.0f} s: {f'waiting: {missing}. ' if missing else ''}{self._figures()}")

    def _of(self, began: Mapping[Key, float], deployment: str) -> Evidence:
        return self._observer.since(began, deployment)

    def _figures(self) -> str:
        return describe(self._of(self._began, self._plan.candidate), self._of(self._began, self._live))

    def _elapsed(self) -> float:
        return self._clock() - self._started_at

    def _live_deployment(self) -> str:
        """The one that has all the traffic now."""
        plan, before = self._plan, self._before
        live = plan.model
        if before is not None:
            taking = [name for name, share in before.share.items() if share]
            if len(taking) > 1:
                raise CommandError(
                    f"the traffic of {plan.model} is split already ({before.describe()}): give one all of it first, "
                    f"with vfnet traffic {before.live}=100"
                )
            live = taking[0]
        if live == plan.candidate:
            raise CommandError(f"{plan.candidate} has all the traffic of {plan.model} already")
        return live

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Raises CommandError: another trial runs."""
        lock = self._file.with_name(f".{self._file.name}.canary.{self._plan.model}.lock")
        try:
            with locked_file(lock, wait=False):
                yield
        except BlockingIOError:
            raise CommandError(f"another trial on the traffic of {self._plan.model} runs: wait for its end") from None


def _between(live: str, candidate: str, share: float) -> dict[str, float]:
    """Percent of both; rounded, because 100 - 8.2 is not 91.8 everywhere."""
    return {live: round(WHOLE - share, PLACES), candidate: share}

"""Whatever is killed while a model is replaced, callers are answered by one whole model, and the next command repairs.

Two checkpoints that answer differently take each other's place by `vfnet deploy`, again and again. At a random moment
of it something is killed: the command, Triton, `vfnet serve`, a process of the new model or of the one that serves.
"""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from callers import DEADLINE_S
from deployment import Deployment
from reference_answers import NoAnswerError, Reference, ask_score

COMMAND, TRITON, SERVE, CANDIDATE, LIVE = "vfnet deploy", "Triton", "vfnet serve", "new model", "live model"
EVERY = {COMMAND: 10, TRITON: 3, SERVE: 3, CANDIDATE: 5, LIVE: 3}
"""What is killed, and how often in the whole suite."""
_PATIENCE_S = 120.0
_ASK_AGAIN_S = 0.1


@dataclass(frozen=True)
class Outcome:
    """What became of one deployment during which something was killed."""

    victim: str
    at: float
    """Seconds after the command was begun."""
    killed: bool
    """Whether there was something to kill at that moment."""
    code: int
    """Of the command; negative for the signal that ended it."""
    failed: tuple[str, ...]
    """What callers of the gateway were told whose requests failed."""
    neither: int
    """Answers that were neither the one model's nor the other's."""
    repaired: str
    """Why the next command did not repair it; empty: it did."""
    seconds: float
    """That the next command took."""

    @property
    def is_good(self) -> bool:
        """Whether nobody noticed, and nothing is left of it."""
        return not (self.failed or self.neither or self.repaired)

    def __str__(self) -> str:
        what = (
            f"{self.victim} killed after {self.at:.1f} s" if self.killed else f"{self.victim}: none at {self.at:.1f} s"
        )
        told = [*self.failed, *([f"{self.neither} answers of neither"] if self.neither else []), self.repaired]
        return f"{what}: code {self.code}; next command {self.seconds:.1f} s; {'; '.join(filter(None, told)) or 'good'}"


def signature(document: bytes | str) -> list[tuple[str, float]]:
    """What tells the models apart; engines that were given other threads differ in the last digits."""
    (image,) = json.loads(document)
    return sorted((box["label"], round(box["score"], 3)) for box in image["boxes"])


@dataclass
class Asking:
    """A caller of `/score` that asks again where nobody listens, as any caller does."""

    port: int
    reference: Reference
    answers: list[list[tuple[str, float]]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def running(self) -> Iterator[Asking]:
        """Two of them."""
        threads = [threading.Thread(target=self._run, daemon=True) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(2 * DEADLINE_S)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.answers.append(signature(self.once()))
            except NoAnswerError as error:
                self.failed.append(str(error))

    def once(self) -> bytes:
        """One answer. Raises NoAnswerError."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                return ask_score(self.port, self.reference.score_body, max(deadline - time.monotonic(), 0.1))
            except ConnectionError as error:
                if time.monotonic() > deadline:
                    raise NoAnswerError(str(error)) from None
                time.sleep(_ASK_AGAIN_S)


class DeployFaults:
    """Of one deployment, whose model is replaced by either of two checkpoints.

    Args:
        checkpoints: the one that serves, and another one.
    """

    def __init__(
        self,
        deployment: Deployment,
        reference: Reference,
        checkpoints: Sequence[Path],
        seed: int,
        say: Callable[[str], None] = print,
    ) -> None:
        self._deployment, self._reference, self._say = deployment, reference, say
        self._checkpoints, self._live = list(checkpoints), 0
        self._dice = random.Random(seed)
        self._known = [signature(reference.document)]

    def measure(self) -> float:
        """Seconds that a deployment takes; learns what the other checkpoint answers."""
        started = time.monotonic()
        done = self._deploy(1)
        assert done.wait(_PATIENCE_S) == 0, self._log()
        self._live = 1
        taken = time.monotonic() - started
        self._known.append(signature(Asking(self._deployment.score_port, self._reference).once()))
        assert self._known[0] != self._known[1], "the two checkpoints answer alike"
        return taken

    def run(self, victims: Sequence[str], longest: float, until: float = float("inf")) -> list[Outcome]:
        """One deployment for each victim, killed at any moment of so many seconds."""
        outcomes = []
        for victim in victims:
            if time.monotonic() > until:
                break
            outcomes.append(self._one(victim, self._dice.uniform(0.1, 1.0) * longest))
            self._say(str(outcomes[-1]))
        return outcomes

    def _one(self, victim: str, at: float) -> Outcome:
        target = 1 - self._live
        with Asking(self._deployment.score_port, self._reference).running() as asking:
            command = self._deploy(target)
            with contextlib.suppress(subprocess.TimeoutExpired):
                command.wait(at)
            killed = self._kill(victim, command)
            code = command.wait(_PATIENCE_S)
            assert self._answers_whole(), "neither model answers"
            started = time.monotonic()
            repaired = self._repair(target)
            seconds = time.monotonic() - started
        neither = sum(answer not in self._known for answer in asking.answers)
        return Outcome(victim, at, killed, code, tuple(asking.failed), neither, repaired, seconds)

    def _answers_whole(self) -> bool:
        return signature(Asking(self._deployment.score_port, self._reference).once()) in self._known

    def _repair(self, target: int) -> str:
        """The next command: the same once more. Why it left something; empty: it did not."""
        deadline = time.monotonic() + _PATIENCE_S
        while (code := self._deploy(target).wait(_PATIENCE_S)) != 0:
            if "no server runs" not in self._log() or time.monotonic() > deadline:  # it is being started again
                return f"the next command ended with {code}: {self._log()[-300:]}"
            time.sleep(0.5)
        self._live = target
        if signature(Asking(self._deployment.score_port, self._reference).once()) != self._known[target]:
            return "the old model answers"
        listed = self._listed()
        folders = [path.name for path in self._deployment.state.glob("repository.deployments/*/")]
        if [record["serves"] for record in listed] != ["live"] or folders != [listed[0]["name"]]:
            return f"there are {[record['name'] for record in listed]} loaded and {folders} on the disk"
        return ""

    def _kill(self, victim: str, command: subprocess.Popen[bytes]) -> bool:
        if victim == COMMAND:
            command.kill()
            return command.wait(10) < 0
        found = self._victims(victim)
        if not found:
            return False
        with contextlib.suppress(psutil.Error):
            self._dice.choice(found).kill()
            return True
        return False

    def _victims(self, victim: str) -> list[psutil.Process]:
        try:
            serve = psutil.Process(json.loads((self._deployment.state / "server.json").read_text())["pid"])
            if victim == SERVE:
                return [serve]
            below = serve.children(recursive=True)
        except (psutil.Error, OSError, ValueError):
            return []
        found = []
        for process in below:
            with contextlib.suppress(psutil.Error, IndexError):
                command = process.cmdline()
                if Path(command[0]).name == "tritonserver":
                    if victim == TRITON:
                        found.append(process)
                    continue
                number = int(Path(command[1]).parents[1].name.partition("_")[0].partition(".")[2] or 1)
                is_new = number > self._last_live()
                if victim == (CANDIDATE if is_new else LIVE):
                    found.append(process)
        return found

    def _last_live(self) -> int:
        state = json.loads((self._deployment.state / "deployments.json").read_text())
        return int(state["models"]["vfnet"]["live"])

    def _deploy(self, target: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "vfnet_client", "deploy", f"--state={self._deployment.state}"]
        command += [f"--checkpoint={self._checkpoints[target]}", f"--compare-on={self._picture()}"]
        with self._log_file.open("wb") as log:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._deployment.environment
            )

    @property
    def _log_file(self) -> Path:
        return self._deployment.state.with_name("deploy.log")

    def _log(self) -> str:
        return self._log_file.read_text(errors="replace")

    def _picture(self) -> Path:
        path = self._deployment.state.with_name("compared.png")
        if not path.exists():
            path.write_bytes(self._reference.image)
        return path

    def _listed(self) -> list[dict[str, Any]]:
        command = [sys.executable, "-m", "vfnet_client", "deployments", f"--state={self._deployment.state}", "--json"]
        done = subprocess.run(command, capture_output=True, timeout=60, check=False, env=self._deployment.environment)
        return list(json.loads(done.stdout)) if done.returncode == 0 else []

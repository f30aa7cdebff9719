"""Three callers that ask without end while processes die, and compare every answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from deployment import Deployment
from reference_answers import GRPCCaller, NoAnswerError, Reference, ask_score
from vfnet_client.client import VFNetClient
from vfnet_client.exceptions import VFNetClientError

DEADLINE_S = 30.0
"""How long a caller waits for an answer, asking again where nobody listens."""
_PAUSE_S = 0.05
_ASK_AGAIN_S = 0.1


@dataclass
class Ask:
    """One request: when (monotonic seconds), and how it ended."""

    began: float
    ended: float
    failure: str = ""
    is_wrong: bool = False


@dataclass
class Caller:
    """Asks one thing again and again on a thread of its own."""

    name: str
    ask: Callable[[], str]
    """Asks once; empty if the answer is right, `wrong: …` if it is another. Raises NoAnswerError."""
    may_fail: bool
    """Whether what it asks has nothing in front that would ask again for it."""
    asks: list[Ask] = field(default_factory=list)
    began: float | None = None
    """When the request that is under way began."""


class Callers:
    """At Triton's own port as it is and by our client; at the gateway by /score and, where it has it, KServe v2."""

    def __init__(self, deployment: Deployment, reference: Reference) -> None:
        self._deployment, self._reference = deployment, reference
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._direct = GRPCCaller(deployment.grpc_port)
        self._client = VFNetClient(f"grpc://127.0.0.1:{deployment.grpc_port}", timeout=DEADLINE_S)
        self._expected = self._client.detect(reference.image).to_json()
        self.all = [
            Caller("gRPC at Triton", self._ask_direct, True),
            Caller("our client at Triton", self._ask_client, False),
            Caller("/score at the gateway", self._ask_score, False),
        ]
        through = GRPCCaller(deployment.score_grpc_port)
        expected = through.ask(reference.image, DEADLINE_S)
        self.all.append(Caller("gRPC at the gateway", lambda: self._ask_gateway_grpc(through, expected), False))
        self._closing: list[Callable[[], None]] = [self._direct.close, self._client.close, through.close]
        self._threads = [threading.Thread(target=self._run, args=(each,), daemon=True) for each in self.all]

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_details: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(2 * DEADLINE_S)
        for close in self._closing:
            close()

    def _run(self, caller: Caller) -> None:
        while not self._stop.wait(_PAUSE_S):
            caller.began = began = time.monotonic()
            failure = ""
            try:
                failure = caller.ask()
            except (NoAnswerError, VFNetClientError, OSError) as error:
                failure = f"{type(error).__name__}: {error}"
            with self._lock:
                wrong = failure.startswith("wrong:")
                caller.asks.append(Ask(began, time.monotonic(), failure, wrong))
                caller.began = None
            if failure:
                self._stop.wait(_ASK_AGAIN_S)

    def _ask_direct(self) -> str:
        answer = self._direct.ask(self._reference.image, DEADLINE_S)
        return "" if answer == self._reference.tensors else "wrong: other tensors"

    def _ask_client(self) -> str:
        answer = self._client.detect(self._reference.image).to_json()
        return "" if answer == self._expected else "wrong: other boxes"

    def _ask_score(self) -> str:
        # Where nobody listens, or the connection breaks, any caller asks again: the gateway itself may be what died.
        deadline = time.monotonic() + DEADLINE_S
        while True:
            left = deadline - time.monotonic()
            try:
                answer = ask_score(self._deployment.score_port, self._reference.score_body, max(left, 0.1))
                return "" if answer == self._reference.document else f"wrong: {answer[:100]!r}"
            except ConnectionError as error:
                if left <= 0:
                    raise NoAnswerError(f"nobody there for {DEADLINE_S:g} s: {error}") from None
                time.sleep(_ASK_AGAIN_S)

    def _ask_gateway_grpc(self, through: GRPCCaller, expected: bytes) -> str:
        deadline = time.monotonic() + DEADLINE_S
        while True:
            left = deadline - time.monotonic()
            try:
                answer = through.ask(self._reference.image, max(left, 0.1))
                return "" if answer == expected else "wrong: other tensors"
            except NoAnswerError as error:
                lost = any(words in str(error) for words in _LOST_CONNECTIONS)
                if not lost or left <= 0:
                    raise
                time.sleep(_ASK_AGAIN_S)

    def failures_since(self, moment: float) -> dict[str, list[Ask]]:
        """By caller, what ended since then without a right answer."""
        with self._lock:
            return {
                caller.name: [ask for ask in caller.asks if ask.ended >= moment and ask.failure] for caller in self.all
            }

    def right_since(self, moment: float) -> float | None:
        """When the last caller got its first right answer to what it asked after that moment; None: one still waits."""
        firsts = []
        with self._lock:
            for caller in self.all:
                after = [ask for ask in caller.asks if ask.began >= moment]
                last_failure = max((ask.ended for ask in after if ask.failure), default=moment)
                right = [ask.ended for ask in after if not ask.failure and ask.ended >= last_failure]
                if not right or (caller.began is not None and time.monotonic() - caller.began > 1.5):
                    return None
                firsts.append(right[0])
        return max(firsts)


_LOST_CONNECTIONS = (
    "failed to connect",
    "Connection reset",
    "Socket closed",
    "recvmsg",
    "GOAWAY",
    "Broken pipe",
    "Connection refused",
    "closed",
    "End of TCP stream",
)

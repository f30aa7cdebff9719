"""Many requests as one attack, where none of them is likely to be the one that breaks something."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from attack import Allowed, Reply
from deployment import Deployment

Send = Callable[[Deployment], Reply]
Case = tuple[str, Send, Allowed]
"""What it is, how it is sent, and what may come back."""
AS_ALLOWED = "as allowed"


def swept(reply: Reply) -> bool:
    """Whether a sweep found nothing."""
    return reply.outcome == AS_ALLOWED


SWEPT: dict[str, Any] = {"allowed": swept, "is_quick": False}
"""How such an attack is added to an `AttackList`."""


def sweep(cases: Sequence[Case]) -> Send:
    """An attack that sends these one after another, up to the first whose reply is not allowed. See `swept`."""

    def send(deployment: Deployment) -> Reply:
        for name, ask, allowed in cases:
            reply = ask(deployment)
            if not allowed(reply):
                return Reply("let through", f"{name}: {reply}")
        return Reply(AS_ALLOWED, f"{len(cases)} requests")

    return send


def at_once(sends: Sequence[Send], allowed: Allowed) -> Send:
    """An attack that sends these at the same time, each on a thread of its own. See `swept`."""

    def send(deployment: Deployment) -> Reply:
        replies = together([lambda ask=ask: ask(deployment) for ask in sends])
        wrong = [reply for reply in replies if reply is None or not allowed(reply)]
        counts: dict[str, int] = {}
        for reply in replies:
            outcome = "no reply" if reply is None else reply.outcome
            counts[outcome] = counts.get(outcome, 0) + 1
        told = ", ".join(f"{count} x {outcome}" for outcome, count in sorted(counts.items()))
        return Reply("let through", f"{wrong[0]}; {told}") if wrong else Reply(AS_ALLOWED, told)

    return send


def together(calls: Iterable[Callable[[], Reply]], patience: float = 120.0) -> list[Reply | None]:
    """What each of these gives when all are called at once; None: nothing in so many seconds."""
    calls = list(calls)
    replies: list[Reply | None] = [None] * len(calls)
    start = threading.Barrier(len(calls))

    def run(position: int) -> None:
        start.wait()
        replies[position] = calls[position]()

    threads = [threading.Thread(target=run, args=(position,), daemon=True) for position in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(patience)
    return replies

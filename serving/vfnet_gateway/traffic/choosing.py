"""Which deployment a request goes to, by the shares: by chance, or always the same for the same caller."""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections.abc import Mapping
from hashlib import blake2b
from itertools import accumulate

_HASHED_BYTES = 8


class Chooser:
    """Draws by shares.

    Args:
        share: percent by deployment, together 100.
    """

    def __init__(self, share: Mapping[str, float]) -> None:
        self._share = {name: percent for name, percent in share.items() if percent > 0}
        self._names = list(self._share)
        self._bounds = list(accumulate(self._share.values()))
        self._total = self._bounds[-1]

    def at_random(self) -> str:
        """A deployment, each with the probability that is its share.

        Not in turn: callers whose requests come in a pattern would each meet one deployment only, and what is counted
        of two deployments could not be compared.
        """
        if len(self._names) == 1:
            return self._names[0]
        return self._names[min(bisect_right(self._bounds, random.random() * self._total), len(self._names) - 1)]

    def for_caller(self, caller: str) -> str:
        """The deployment of one caller, by a hash of who that is: the same as long as the shares are, in any process.

        Weighted rendezvous hashing (Schindelhauer and Schomaker, SPAA 2005, "Weighted distributed hash tables": the
        logarithmic method): of shares that change, only callers move whose deployment has less or whose new one has
        more. Between two deployments that is the difference of the shares and not one caller more.
        """
        if len(self._names) == 1:
            return self._names[0]
        return max(self._names, key=lambda name: -self._share[name] / math.log(_uniform(name, caller)))


def _uniform(name: str, caller: str) -> float:
    """A number from 0 to 1, neither of them, that these two always have."""
    digest = blake2b(f"{name}\0{caller}".encode(errors="surrogatepass"), digest_size=_HASHED_BYTES).digest()
    # 53 bits are what a float holds; one more half keeps it from 0 and 1.
    return ((int.from_bytes(digest, "little") >> 11) + 0.5) / 2**53

"""Leaving without a lost request: what is not ready any more serves on until nobody sends it anything."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Leaving:
    """Whether the gateway has been told to stop, and only serves what still comes.

    Load balancers hear of it by the readiness, and who holds a connection by `Connection: close`.
    """

    has_begun: bool = False

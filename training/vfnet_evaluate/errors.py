"""What can be wrong with an evaluation."""

from __future__ import annotations

from vfnet_client.exceptions import VFNetError


class EvaluationError(VFNetError):
    """It cannot be done as asked; the message says why and what to do."""

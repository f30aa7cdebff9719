"""What can be wrong with a training."""

from __future__ import annotations

from vfnet_client.exceptions import InterruptedWorkError, VFNetError


class FinetuneError(VFNetError):
    """A training cannot begin or go on; the message says why and what to do."""


class InterruptedTrainingError(FinetuneError, InterruptedWorkError):
    """A signal stopped the training, whose state is saved."""

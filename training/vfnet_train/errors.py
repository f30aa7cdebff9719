"""What can be wrong with a training."""

from __future__ import annotations

from vfnet_client.exceptions import VFNetClientError


class FinetuneError(VFNetClientError):
    """A training cannot begin or go on; the message says why and what to do."""


class InterruptedTrainingError(FinetuneError):
    """A signal stopped the training, whose state is saved. `exit_code` is the shell's for that signal."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number

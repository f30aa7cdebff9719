"""What ends a batch before its end."""

from __future__ import annotations

from vfnet_client.exceptions import VFNetClientError


class BatchError(VFNetClientError):
    """It cannot be done as asked, or not go on; the message says why and what to do."""


class InterruptedBatchError(BatchError):
    """A signal ended it; what is done is saved."""

    def __init__(self, signal_number: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number

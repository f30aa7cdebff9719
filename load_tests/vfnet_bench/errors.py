"""What can keep a benchmark from being made. `str(error)` alone is fit for a terminal."""

from vfnet_client.exceptions import VFNetError


class BenchmarkError(VFNetError):
    """A contestant cannot be measured; the message says why and what to do."""

"""What can keep a benchmark from being made. `str(error)` alone is fit for a terminal."""


class BenchmarkError(Exception):
    """A contestant cannot be measured; the message says why and what to do."""

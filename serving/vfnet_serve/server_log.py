"""Triton's log as people read it: one plain line per event that matters, and causes remembered."""

from __future__ import annotations

import contextlib
import re
import sys
from collections import deque
from datetime import datetime

from vfnet_client.json_log import is_for_machines, json_line

_LINE = re.compile(r"^(?P<level>[IWE])\d{4} (?P<clock>[\d:]{8})\.\d+ \d+ (?P<source>[\w.]+):\d+\] \"?(?P<text>.*?)\"?$")
_FAILED_LOAD = re.compile(r"failed to load '(?P<model>[^']+)' version \d+: (?P<cause>.*)", re.DOTALL)
_LEVELS = {"I": "INFO", "W": "WARNING", "E": "ERROR"}
_TRACE = re.compile(r" \(trace (?P<trace_id>[0-9a-f]{32})\)$")
"""At the end of what a model says of a request that is traced."""
_TABLE = ("+", "|")
_EXPECTED = (
    # said on every machine without an NVIDIA GPU
    "CUDA driver version is insufficient",
    "Unable to allocate pinned system memory",
    "failed to allocate pinned system memory",
    "no pinned memory pool",
    "DCGM unable to start",
    "CudaDriverHelper has not been initialized",
    "unable to create stream",
    "Failed to initialize NVML",
    "Unable to get CUDA",
)


class ServerLog:
    """Turns the server's output into lines for people."""

    def __init__(self, verbose: bool = False) -> None:
        self.verbose = verbose
        self.load_failures: dict[str, str] = {}
        """Model -> why it did not load, in the model's own words."""
        self.last_errors: list[str] = []
        self.last_words: deque[str] = deque(maxlen=5)
        """What it wrote last that is no line of Triton's log: a model process that cannot start says why so."""
        self._inside_event = False

    def read(self, line: str) -> str | None:
        """A line of the server's output -> what to print of it, or None."""
        line = line.rstrip("\n")
        match = _LINE.match(line)
        if match is None:
            if line.strip() and not line.startswith(_TABLE) and not any(words in line for words in _EXPECTED):
                self.last_words.append(line)
            return _line("INFO", "triton", line, line) if self.verbose and line.strip() else None
        level, text = match["level"], match["text"].replace("\\n", "\n")
        if failure := _FAILED_LOAD.search(text):
            # the first cause is the cause: Triton repeats it, shortened, for every model that depends
            self.load_failures.setdefault(failure["model"], first_sentence(failure["cause"]))
        expected = any(words in text for words in _EXPECTED)
        if level == "E" and not expected:
            self.last_errors = [*self.last_errors[-4:], text]
        from_model = match["source"].endswith(".py")
        if not self.verbose and (expected or (level == "I" and not from_model)):
            return None
        return _line(_LEVELS[level], "triton", text, f"{match['clock']} {_LEVELS[level]} {text}")


def first_sentence(cause: str) -> str:
    """What happened, without Triton's prefix and Python's stack."""
    text = cause.split("\n\nAt:")[0].strip().rstrip('"')
    return re.sub(r"^(Internal|Invalid argument|Not found|Unavailable): ", "", text).strip()


def say(message: str, level: str = "INFO") -> None:
    """Print a line of our own in the same form."""
    print_line(_line(level, "vfnet serve", message, f"{datetime.now():%H:%M:%S} {level} {message}"))


def _line(level: str, logger: str, message: str, for_people: str) -> str:
    if not is_for_machines():
        return for_people
    trace = _TRACE.search(message)
    return json_line(level, logger, message, trace and trace["trace_id"])


def print_line(text: str) -> None:
    """Print a line to stderr. Where that cannot be written any more, on a full disk say, serving goes on without."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)

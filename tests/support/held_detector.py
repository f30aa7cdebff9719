"""A detector without a network that holds its images while a test looks at who waits where, however long that takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_ENTRANCE = "        if self.seconds:\n"


@dataclass(frozen=True)
class Gate:
    """While it is shut, nothing comes out of the detector. The watchdog allows a minute of that."""

    path: Path

    @contextmanager
    def shut(self) -> Iterator[None]:
        """Shut while in the context, unless opened earlier."""
        self.path.touch()
        try:
            yield
        finally:
            self.open()

    def open(self) -> None:
        """Let them go."""
        self.path.unlink(missing_ok=True)


def gate_of(repository: Path) -> Gate:
    """The gate that `with_gate` put there: a file beside the repository, which stays as it is."""
    return Gate(repository.with_name(f"{repository.name}.shut"))


def with_gate(repository: Path) -> Path:
    """Put a gate before the answers of a repository's configuration `noop`; the repository."""
    model = repository / "vfnet_detector" / "1" / "vfnet_runtime" / "triton_models" / "noop_detector_model.py"
    code = model.read_text()
    assert code.count(_ENTRANCE) == 1
    shut = str(gate_of(repository).path)
    wait = f"        while __import__('os').path.exists({shut!r}):\n            time.sleep(0.005)\n"
    model.write_text(code.replace(_ENTRANCE, wait + _ENTRANCE))
    return repository

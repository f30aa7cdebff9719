"""What a GPU's memory holds: as many batch sizes as fit, found by trying the largest first."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

Prepared = TypeVar("Prepared")
_WORDS = ("out of memory", "ALLOC_FAILED")
"""Of CUDA, and of cuBLAS and cuDNN, which raise nothing of their own."""


def prepare_what_fits(
    prepare: Callable[[tuple[int, ...]], Prepared],
    batch_sizes: tuple[int, ...],
    release: Callable[[], None],
    *,
    all_sizes: bool = False,
) -> tuple[Prepared, tuple[int, ...]]:
    """Prepare a network for batches; while memory runs out, without the largest of them.

    Args:
        prepare: takes the sizes; what it had before it failed is freed when its error is.
        batch_sizes: rising.
        release: gives memory that nothing uses any more back to the GPU.
        all_sizes: leave none out.

    Returns:
        What `prepare` returned, and the sizes it was given.

    Raises:
        Exception: what `prepare` raised, where that is something else or there is no smaller size.
    """
    while True:
        try:
            return prepare(batch_sizes), batch_sizes
        except Exception as error:
            if all_sizes or len(batch_sizes) == 1 or not is_out_of_memory(error):
                raise
        # Only here: until then the error holds the frames, and they the tensors.
        batch_sizes = batch_sizes[:-1]
        release()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether that was the cause: a capture that is broken off says something else, and chains what broke it off."""
    # `vfnet serve` reads this module where there is no torch: then nothing raises torch's error.
    torch = sys.modules.get("torch")
    torchs_own: tuple[type[BaseException], ...] = () if torch is None else (torch.OutOfMemoryError,)
    seen = set[int]()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if isinstance(cause, torchs_own) or any(words in str(cause) for words in _WORDS):
            return True
        cause = cause.__cause__ or cause.__context__
    return False

"""Candidates for suppression, without a network."""

from __future__ import annotations

import numpy as np


def overlapping_boxes(seed: int, count: int = 400, classes: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Candidates of which many overlap, by falling score: float32 [n, 4] x1 y1 x2 y2, float32 [n], int32 [n]."""
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 1000, (count // 8, 2))[rng.integers(0, count // 8, count)] + rng.normal(0, 15, (count, 2))
    corners = corners.clip(0)
    boxes = np.concatenate([corners, corners + rng.uniform(60, 120, (count, 2))], axis=1).astype(np.float32)
    scores = np.sort(rng.uniform(0.05, 1, count).astype(np.float32))[::-1].copy()
    return boxes, scores, rng.integers(0, classes, count).astype(np.int32)

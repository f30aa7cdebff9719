"""Made-up requests, and how many of them: $VFNET_FUZZ times as many as an ordinary run makes."""

from __future__ import annotations

import os
import re

from hypothesis import strategies as st

from score_requests import GOOD

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)
ITEMS = st.sampled_from([GOOD, GOOD[:400], f"data:image/png;base64,{GOOD}", "http://[::1]/a.png"]) | SCALARS
TABLES = st.fixed_dictionaries(
    {"columns": st.just(["image"]) | st.lists(st.sampled_from(["image", "id"]), max_size=3) | JSON},
    optional={
        "index": st.lists(SCALARS, max_size=3) | JSON,
        "data": st.lists(ITEMS | st.lists(ITEMS, max_size=3), max_size=3) | JSON,
        "surplus": JSON,
    },
)
PARAMETERS = {
    "box_score_threshold": JSON | st.floats(0, 1),
    "nms_iou": JSON | st.floats(0, 1),
    "max_detections": JSON | st.integers(),
    "classes": JSON | st.lists(st.sampled_from(["can", "carton"]) | st.integers() | SCALARS, max_size=3),
}
BODIES = st.fixed_dictionaries(
    {"input_data": TABLES | JSON},
    optional={
        "params": JSON | st.fixed_dictionaries({}, optional=PARAMETERS),
        "dataframe_split": TABLES | JSON,
        "dataframe_records": st.lists(st.fixed_dictionaries({"image": ITEMS}), max_size=3) | JSON,
    },
)

LEAK = re.compile(
    r"Traceback|File \"|\.py\b|site-packages|/(?:home|root|tmp|usr|opt|work|var)/|127\.0\.0\.1:\d|ensemble"
)
"""What no answer may hold: a stack trace, a path, an address, a word of the server's insides."""


def examples(ordinary: int) -> int:
    """How many examples a property is tried with."""
    return ordinary * int(os.environ.get("VFNET_FUZZ", "1"))

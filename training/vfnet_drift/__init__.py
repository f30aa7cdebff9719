"""Whether the images of now, and what is found in them, are still like those of then.

In: two places, each a data set, a batch's results, a captured store, or the metrics of a gateway. Out: for each feature
a test, how large the difference is, and a page with pictures. The features themselves, and histograms of them, are
`vfnet_profile`'s. Start reading in `comparison`.
"""

import vfnet_client  # noqa: F401  # turns telemetry off
from vfnet_drift.comparison import Comparison, FeatureResult, compare
from vfnet_drift.errors import DriftError
from vfnet_drift.side import Side

__all__ = ["Comparison", "DriftError", "FeatureResult", "Side", "compare"]

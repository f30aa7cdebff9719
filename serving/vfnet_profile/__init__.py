"""What images and detections are like, as histograms: of a reference, and of the traffic of now.

In: encoded images with what was found in them. Out: `Profile`s, which are numbers only, and how far two of them are
apart. `vfnet drift` writes and compares them, the gateway keeps one of a window. Start reading in `features`.
"""

import vfnet_client  # noqa: F401  # turns telemetry off
from vfnet_profile.distances import cramers_v, population_stability_index
from vfnet_profile.features import FoundBox, Observation, observe
from vfnet_profile.profile import Profile, ProfileError

__all__ = [
    "FoundBox",
    "Observation",
    "Profile",
    "ProfileError",
    "cramers_v",
    "observe",
    "population_stability_index",
]

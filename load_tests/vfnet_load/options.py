"""What a person chooses beside locust's own options, on its command line or its page."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vfnet_load.coco_sizes import ImageSize
from vfnet_load.pictures import read_sizes
from vfnet_load.targets import Targets, add_target_arguments
from vfnet_load.user_counts import SHAPES

LOOPS = ("closed", "open")
ARRIVALS = ("even", "poisson")


@dataclass(frozen=True)
class LoadOptions:
    """The options, understood."""

    targets: Targets
    sizes: Mapping[ImageSize, float]
    """And their shares."""
    is_open: bool
    rate_per_user: float
    poisson: bool
    timeout: float
    """Seconds for one answer."""

    @classmethod
    def from_options(cls, options: argparse.Namespace) -> LoadOptions:
        """Raises ValueError: the sizes, the rate or the timeout cannot be used."""
        if options.rate_per_user <= 0 or options.request_timeout <= 0:
            raise ValueError("--rate-per-user and --request-timeout must be above 0")
        return cls(
            Targets.from_options(options),
            read_sizes(options.sizes),
            options.loop == "open",
            options.rate_per_user,
            options.arrivals == "poisson",
            options.request_timeout,
        )


def add_arguments(parser: Any) -> None:
    """To locust's parser itself: what is in a group is not on its page. Nor is what a page must not choose."""
    add_target_arguments(parser, include_in_web_ui=False)
    parser.add_argument(
        "--report",
        default="var/load.html",
        metavar="FILE",
        include_in_web_ui=False,
        help="the report of a run; figures beside it as .json (default: %(default)s)",
    )
    # The page shows these words as they are, and the defaults.
    parser.add_argument(
        "--loop", choices=LOOPS, default="closed", help="closed: a user waits for its answer; open: users are a rate"
    )
    parser.add_argument(
        "--shape",
        choices=SHAPES,
        default="constant",
        help="over the run time all users, or steps up to all, or a tenth of them with a spike of all",
    )
    parser.add_argument(
        "--sizes",
        default="coco",
        metavar="SIZES",
        help="coco, uniform (one size with as many pixels for the network) or one size such as 640x480",
    )
    parser.add_argument(
        "--rate-per-user", type=float, default=1.0, metavar="HZ", help="requests a second of one user of an open loop"
    )
    parser.add_argument("--arrivals", choices=ARRIVALS, default="even", help="gaps of an open loop")
    parser.add_argument("--max-requests", type=int, default=0, metavar="N", help="end after so many; 0: no limit")
    parser.add_argument(
        "--request-timeout", type=float, default=60.0, metavar="SECONDS", help="seconds to wait for one answer"
    )

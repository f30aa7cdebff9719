"""Load tests: locust users of the three ways in, arrivals and shapes, and runs turned into reports.

In: options of locust and running servers. Out: one HTML page and its figures as JSON. `run` is a run, `users` what it
does, `report` the page. Start reading in `run`.
"""

import vfnet_client  # noqa: F401  # turns telemetry off

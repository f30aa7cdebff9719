"""Every benchmark: `vfnet bench NAME`. Contestants take turns in one run, and ratios are paired within a round.

In: a repository or checkpoint, and what to measure against. Out: a table, and JSON. `command` lists the names,
`commands` holds one module for each, `rounds`, `measurement` and `report` are what they share. Start reading in
`command`.
"""

import vfnet_client  # noqa: F401  # turns telemetry off

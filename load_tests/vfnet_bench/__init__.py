"""Every benchmark: `vfnet bench NAME`. Contestants take turns in one run, and ratios are paired within a round.

In: a repository or checkpoint, and what to measure against. Out: a table, JSON, and the command that makes both again.
`command` lists the names, `commands` holds one module for each. What they share: `served_repository` starts servers,
`load` and `http_callers` load them, `rounds` takes turns, `measurement` pairs ratios, `report` prints and writes. Start
reading in `command`.
"""

import vfnet_client  # noqa: F401  # turns telemetry off

"""What scores very many images, restartable, on one machine or with Ray on many.

In: a folder, a list or an object store (`inputs`) and servers to ask. Out: shards of rows, one an image
(`output_folder`). Finished shards are the only ledger. `batch` is its life, `local_runner` and `ray_runner` the two
ways to score. Start reading in `batch`.
"""

import vfnet_client  # noqa: F401  # turns telemetry off

"""What judges detections as COCO does: those of a running server, a checkpoint, or a file.

In: a data set (`vfnet_data`) and detections (`sources`). Out: COCO's twelve figures, AP by class, curves, a confusion
matrix and the worst images. `comparison` sets two of them side by side. Start reading in `coco_evaluation`.
"""

import vfnet_client  # noqa: F401  # turns telemetry off

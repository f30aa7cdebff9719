"""What trains VFNet as MMDetection 2.28.2 does, without mmcv: assignment, losses, the loop, and what it leaves behind.

In: a checkpoint, data sets (`vfnet_data`) and `FinetuneSettings`. Out: a folder with checkpoints, a report and metrics.
Killed at any moment it goes on from there. Start reading in `finetuning`.

    finetune(FinetuneSettings(init="coco", data=(Path("train.jsonl"),), output=Path("run")))
"""

import vfnet_client  # noqa: F401  # turns telemetry off

"""What knows VFNet: checkpoints of MMDetection, and detectors that run in this process.

In: a checkpoint's file, folder, URL or name (`checkpoints.resolve.open_checkpoint`). Out: its settings and weights,
checked, and the network with them (`checkpoints.loading.build_network`). `detectors` detect with a checkpoint (torch)
or a built repository (OpenVINO), without Triton. Start reading in `checkpoints.loading`.

    checkpoint = open_checkpoint("my_vfnet.pth")
    found = CheckpointDetector(load_network(checkpoint)).detect(Path("photo.jpg"))

"""

import vfnet_client  # noqa: F401  # turns telemetry off

"""What makes a Triton model repository of a checkpoint.

In: a checkpoint (`vfnet_model`) and `BuildOptions`. Out: a folder that Triton serves, complete or not there at all:
configurations, the runtime, the network in the form that each engine wants (`engines`), labels and a manifest.
Start reading in `building`.

    build("my_vfnet.pth", Path("repository"), BuildOptions(engine="openvino", precision="f32"))
"""

import vfnet_client  # noqa: F401  # turns telemetry off

"""What an MLflow model folder detects with: the steps that Triton serves, in the process of MLflow's scoring server.

`vfnet mlflow` copies it into the folder's `code/`, beside `vfnet_runtime`, `vfnet_images` and `vfnet_client`, which it
is made of. In: the folder's network and settings, and requests of the scoring contract. Out: what `/score` answers.
Only `python_model` imports MLflow. Start reading there.
"""

import vfnet_client  # noqa: F401  # turns telemetry off

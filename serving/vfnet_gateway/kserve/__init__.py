"""KServe v2 at the gateway, over REST and gRPC, for the public models only.

A request is checked in Python before Triton sees anything, and what Triton sees is a request built anew from the
checked values: nothing of the caller's bytes but the image itself goes through.

https://github.com/kserve/open-inference-protocol and, for binary tensors over HTTP,
https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/protocol/extension_binary_data.html
"""

import os

# gRPC's C core writes lines of its own to standard error, where every line of the gateway's log is JSON, for what any
# caller may do: a compressed message, say. It reads this once, when `grpc` is imported first; what somebody sets stays.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

"""What runs the real Triton Inference Server on a built repository, and keeps it running.

In: a repository and `ServeOptions`. Out: a server whose dead or hung processes are replaced. `serving` is its life,
`triton_process` one Triton, `watchdog` looks after the model processes, `background` starts and finds servers for
`vfnet up`. Start reading in `serving`.

    serve(ServeOptions(repository=Path("repository")))
"""

import vfnet_client  # noqa: F401  # turns telemetry off

"""The gateway: what strangers ask, checked before Triton sees it. `/score` as AzureML has it, KServe v2, and a page.

In: HTTP or gRPC requests. Out: the documented answers and errors. `application` puts the routes together, `middleware`
is around each of them, `score_routes` understands a body, `scorer` sends its images, `admission` says when.
Start reading in `application`.

    serve(GatewaySettings(server="grpc://127.0.0.1:8001"), Listening(port=5001))
"""

import vfnet_client  # noqa: F401  # turns telemetry off

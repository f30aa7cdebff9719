"""Which models the Triton of a state folder serves, of those that callers may be sent to."""

from __future__ import annotations

import json

from vfnet_client.model_names import STEPS
from vfnet_serve.background import StateFolder
from vfnet_serve.installation import ServerError
from vfnet_serve.local_http import fetch
from vfnet_serve.starting import running_endpoints

_PATIENCE_S = 10.0


def served_ensembles(folder: StateFolder) -> list[str]:
    """Their names, as Triton has them ready now.

    Raises:
        ServerError: none runs there, or it does not say.
    """
    endpoints = running_endpoints(folder)
    if endpoints is None:
        raise ServerError(f"no server runs in {folder.root}: start one with vfnet up")
    try:
        control = json.loads((folder.root / "control.json").read_text(encoding="utf-8"))
        url = f"{endpoints.http_url}/v2/repository/index"
        index = json.loads(fetch(url, b"{}", timeout=_PATIENCE_S, headers=control["http_headers"]))
        ready = sorted({str(entry["name"]) for entry in index if entry.get("state") == "READY"})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ServerError(f"the server in {folder.root} does not say which models it serves: {error}") from error
    return [name for name in ready if not name.endswith(tuple(f"_{step}" for step in STEPS))]

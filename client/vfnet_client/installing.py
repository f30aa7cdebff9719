"""How more of this project is installed: from where it came, for its name on PyPI may be somebody else's."""

from __future__ import annotations

import json
import shlex
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution
from urllib.parse import unquote, urlsplit


def install_command(extras: str) -> str:
    """A command that installs some extras, separated by commas, beside what is installed."""
    return f"pip install {shlex.quote(f'{_source()}[{extras}]')}"


def _source() -> str:
    """What pip installed this from: a folder, or a URL that pip takes; `.` where it did not write that down."""
    with suppress(PackageNotFoundError, OSError, ValueError, KeyError, TypeError):
        direct = json.loads(distribution("vfnet").read_text("direct_url.json") or "")
        url, version_control = str(direct["url"]), direct.get("vcs_info")
        if urlsplit(url).scheme == "file":
            return unquote(urlsplit(url).path)
        return f"vfnet @ {version_control['vcs']}+{url}" if version_control else f"vfnet @ {url}"
    return "."

"""Loaded by every Python process of a deployment under test: no packet leaves this machine, and each attempt is noted.

It is a folder of its own, for PYTHONPATH. What is forbidden fails with PermissionError and is written, one line each,
to the file that $PYTHON_LOOPBACK_ONLY_LOG names. Names under `.test` are resolved from $PYTHON_LOOPBACK_ONLY_NAMES, a
JSON object of lists of addresses, so that a test's resolver is its own and no name is ever asked of the network. The
variables begin with PYTHON because Triton and its models are given few others.
"""

import contextlib
import ipaddress
import json
import os
import socket
import sys

_LOG = os.environ.get("PYTHON_LOOPBACK_ONLY_LOG")
_NAMES = json.loads(os.environ.get("PYTHON_LOOPBACK_ONLY_NAMES", "{}"))


def _is_here(host):
    if not host or host == "localhost":
        return True
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(str(host).partition("%")[0])
        address = getattr(address, "ipv4_mapped", None) or address
        return address.is_loopback or address.is_unspecified
    return False


def _refuse(event, what):
    line = f"{os.getpid()} {event} {what} by {' '.join(sys.argv[:3])}"
    with contextlib.suppress(OSError), open(_LOG, "a") as log:  # noqa: PTH123
        log.write(line + "\n")
    raise PermissionError(f"a test forbids this: {line}")


def _hook(event, arguments):
    if event in ("socket.connect", "socket.sendto"):
        address = arguments[1]
        if isinstance(address, tuple) and not _is_here(address[0]):
            _refuse(event, address)
    elif event in ("socket.gethostbyname", "socket.gethostbyaddr") and not _is_here(arguments[0]):
        _refuse(event, arguments[0])


_resolve = socket.getaddrinfo


def _getaddrinfo(host, port, family=0, type=0, proto=0, flags=0):
    text = host.decode("ascii", "replace") if isinstance(host, bytes) else host
    addresses = _NAMES.get(text.rstrip(".").lower()) if text else None
    if addresses is not None:
        return [entry for each in addresses for entry in _resolve(each, port, 0, type, proto, flags)]
    if _is_here(text):
        return _resolve(host, port, family, type, proto, flags)
    try:
        # Numbers in any spelling, which need no network, are the product's own to judge.
        return _resolve(host, port, family, type, proto, flags | socket.AI_NUMERICHOST)
    except socket.gaierror:
        if _LOG and not str(text).endswith(".test"):
            with contextlib.suppress(OSError), open(_LOG, "a") as log:  # noqa: PTH123
                log.write(f"{os.getpid()} resolve {text!r} by {' '.join(sys.argv[:3])}\n")
        raise


if _LOG:
    socket.getaddrinfo = _getaddrinfo
    sys.addaudithook(_hook)

"""Certificates for tests that speak TLS, made by openssl."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl, to make a certificate")


@dataclass(frozen=True)
class Certificate:
    """A self-signed certificate, which is its own authority, and its key; PEM files."""

    certificate: Path
    private_key: Path


def make_certificate(folder: Path, *names: str) -> Certificate:
    """For names as in subjectAltName: `DNS:host`, `IP:127.0.0.1`."""
    made = Certificate(folder / "certificate.pem", folder / "key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-subj", "/CN=a test", "-addext", f"subjectAltName={','.join(names)}", "-days", "2"]
    command += ["-keyout", str(made.private_key), "-out", str(made.certificate)]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    return made

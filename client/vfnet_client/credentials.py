"""Who the client is to a server, and whom it trusts."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")


@dataclass(frozen=True)
class Credentials:
    """A bearer key, a client certificate, other headers; the authorities that a server's certificate may be from.

    Raises:
        ValueError: a private key without a certificate, or what cannot be sent in a header.
    """

    key: str | None = field(default=None, repr=False)
    """Sent as `Authorization: Bearer <key>`."""
    ca_file: str | os.PathLike[str] | None = None
    """Authorities in PEM, instead of those that SSL_CERT_FILE names or the usual ones."""
    certificate_file: str | os.PathLike[str] | None = None
    """The client's own certificate chain in PEM, for servers that ask for one."""
    private_key_file: str | os.PathLike[str] | None = None
    """Its key in PEM; None where it is in `certificate_file`."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """More headers (over gRPC: metadata) of every request."""

    def __post_init__(self) -> None:
        if self.private_key_file is not None and self.certificate_file is None:
            raise ValueError("a private key needs the certificate that it belongs to")
        for name, value in self.request_headers().items():
            if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
                raise ValueError(f"the header {name!r} or its value has characters that cannot be sent")

    def request_headers(self) -> dict[str, str]:
        """The headers of every request, names in lower case as gRPC wants them."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        if self.key is not None:
            headers["authorization"] = f"Bearer {self.key}"
        return headers

    def authorities(self) -> str | None:
        """The file of trusted authorities; None for the usual ones."""
        return os.environ.get("SSL_CERT_FILE") if self.ca_file is None else os.fspath(self.ca_file)

    def ssl_context(self) -> ssl.SSLContext:
        """For HTTPS.

        Raises:
            OSError: a file cannot be read, or is not what it should be.
        """
        context = ssl.create_default_context(cafile=self.authorities())
        if self.certificate_file is not None:
            context.load_cert_chain(self.certificate_file, self.private_key_file)
        return context

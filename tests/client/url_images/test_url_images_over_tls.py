"""Names, addresses and certificates: the connection goes to the checked address, the certificate is the name's."""

from __future__ import annotations

import asyncio
import ssl
from ipaddress import ip_address

import pytest

from certificates import Certificate, make_certificate, needs_openssl
from scripted_site import answer, scripted_site
from vfnet_client.exceptions import InvalidImageError
from vfnet_client.url_images.address_policy import Address, AddressPolicy
from vfnet_client.url_images.url_images import URLImageFetcher

pytestmark = needs_openssl
IMAGE = b"\x89PNG and so on"


class Here:
    """Every name is 127.0.0.1."""

    async def resolve(self, host: str) -> list[Address]:  # noqa: ARG002
        return [ip_address("127.0.0.1")]

    async def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"), "DNS:pictures.example")


def fetch(certificate: Certificate, host: str, trusted: bool = True) -> bytes:
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(certificate.certificate, certificate.private_key)
    asked_for: list[str | None] = []
    serving.sni_callback = lambda _, name, __: asked_for.append(name)

    async def run() -> bytes:
        async with scripted_site({"/": answer(IMAGE)}, tls=serving) as site:
            context = ssl.create_default_context(cafile=certificate.certificate) if trusted else None
            fetcher = URLImageFetcher(AddressPolicy.allowing(["127.0.0.1"]), resolver=Here(), ssl_context=context)
            try:
                return await fetcher.fetch(site.url("/", host, "https"))
            finally:
                await fetcher.close()
                assert asked_for == [host]

    return asyncio.run(run())


def test_the_certificate_is_checked_against_the_name_while_connected_to_the_address(certificate: Certificate) -> None:
    assert fetch(certificate, "pictures.example") == IMAGE


def test_a_certificate_of_another_name_is_refused(certificate: Certificate) -> None:
    with pytest.raises(InvalidImageError, match=r"certificate of other\.example is not trusted: .*mismatch"):
        fetch(certificate, "other.example")


def test_a_certificate_of_no_known_authority_is_refused(certificate: Certificate) -> None:
    with pytest.raises(InvalidImageError, match=r"certificate of pictures\.example is not trusted: self"):
        fetch(certificate, "pictures.example", trusted=False)


def test_a_site_without_tls_is_told_so() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(refuse, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        fetcher = URLImageFetcher(AddressPolicy.allowing(["127.0.0.1"]))
        with pytest.raises(InvalidImageError, match=r"127\.0\.0\.1 does not speak TLS"):
            await fetcher.fetch(f"https://127.0.0.1:{port}/")
        await fetcher.close()
        server.close()

    asyncio.run(run())

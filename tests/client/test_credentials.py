"""Keys, headers and certificates, over gRPC and HTTP alike, against servers that check them."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from certificates import Certificate, make_certificate, needs_openssl
from vfnet_client import AccessDeniedError, Credentials, ServerUnavailableError
from vfnet_client.cli import main
from vfnet_client.transport import open_transport

KEY = "a key"


class Servicer(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Shows the metadata of a request as its answer."""

    def ModelInfer(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802, ARG002
        headers = dict(context.invocation_metadata())
        if headers.get("authorization") != f"Bearer {KEY}":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "no such key")
        text = json.dumps(headers, default=repr).encode()
        answer = service_pb2.ModelInferResponse()
        answer.outputs.add(name="DETECTIONS", datatype="BYTES", shape=[1])
        answer.raw_output_contents.append(len(text).to_bytes(4, "little") + text)
        return answer


class Handler(BaseHTTPRequestHandler):
    """Shows the headers of a request as its answer."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        known = self.headers["Authorization"] == f"Bearer {KEY}"
        text = json.dumps({name.lower(): value for name, value in self.headers.items()})
        output = {"name": "DETECTIONS", "datatype": "BYTES", "shape": [1], "data": [text]}
        body = json.dumps({"outputs": [output]} if known else {"error": "no such key"}).encode()
        self.send_response(200 if known else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class QuietServer(ThreadingHTTPServer):
    """Says nothing of failed handshakes: that is what some tests are about."""

    def handle_error(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"), "IP:127.0.0.1")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("stranger"), "IP:127.0.0.1")


@pytest.fixture(scope="module")
def plain() -> Iterator[Mapping[str, str]]:
    """Servers without TLS, by protocol."""
    yield from _serving(None)


@pytest.fixture(scope="module")
def mutual(certificate: Certificate) -> Iterator[Mapping[str, str]]:
    """Servers with TLS that ask for the client's certificate."""
    yield from _serving(certificate)


def _serving(certificate: Certificate | None) -> Iterator[Mapping[str, str]]:
    grpc_server = grpc.server(ThreadPoolExecutor(2))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Servicer(), grpc_server)
    http_server = QuietServer(("127.0.0.1", 0), Handler)
    secure = "" if certificate is None else "s"
    if certificate is None:
        grpc_port = grpc_server.add_insecure_port("127.0.0.1:0")
    else:
        pair = (certificate.private_key.read_bytes(), certificate.certificate.read_bytes())
        required = grpc.ssl_server_credentials([pair], pair[1], require_client_auth=True)
        grpc_port = grpc_server.add_secure_port("127.0.0.1:0", required)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificate.certificate)
        context.load_cert_chain(certificate.certificate, certificate.private_key)
        context.verify_mode = ssl.CERT_REQUIRED
        http_server.socket = context.wrap_socket(http_server.socket, server_side=True, do_handshake_on_connect=False)
    grpc_server.start()
    threading.Thread(target=http_server.serve_forever, kwargs={"poll_interval": 0.01}).start()
    http_port = http_server.server_address[1]
    yield {"grpc": f"grpc{secure}://127.0.0.1:{grpc_port}", "http": f"http{secure}://127.0.0.1:{http_port}"}
    http_server.shutdown()
    http_server.server_close()
    grpc_server.stop(None).wait()


def headers_seen(url: str, credentials: Credentials) -> dict[str, str]:
    async def once() -> dict[str, Any]:
        transport = open_transport(url, credentials)
        try:
            return await transport.infer(b"image", timeout=20)
        finally:
            await transport.close()

    seen: dict[str, str] = json.loads(asyncio.run(once())["DETECTIONS"][0])
    return seen


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_key_and_headers_reach_the_server(plain: Mapping[str, str], protocol: str) -> None:
    seen = headers_seen(plain[protocol], Credentials(KEY, headers={"X-Tenant": "seven"}))
    assert seen["authorization"] == f"Bearer {KEY}"
    assert seen["x-tenant"] == "seven"


@pytest.mark.parametrize("protocol", ["grpc", "http"])
@pytest.mark.parametrize("key", [None, "another"])
def test_a_wrong_key_is_access_denied_and_not_told(plain: Mapping[str, str], protocol: str, key: str | None) -> None:
    with pytest.raises(AccessDeniedError, match="no such key") as caught:
        headers_seen(plain[protocol], Credentials(key))
    assert "another" not in str(caught.value)


@needs_openssl
@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_both_sides_show_certificates(mutual: Mapping[str, str], protocol: str, certificate: Certificate) -> None:
    ours = Credentials(KEY, certificate.certificate, certificate.certificate, certificate.private_key)
    assert headers_seen(mutual[protocol], ours)["authorization"] == f"Bearer {KEY}"


@needs_openssl
@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_server_of_an_unknown_authority_is_not_talked_to(
    mutual: Mapping[str, str], protocol: str, certificate: Certificate, stranger: Certificate
) -> None:
    ours = Credentials(KEY, stranger.certificate, certificate.certificate, certificate.private_key)
    with pytest.raises(ServerUnavailableError):
        headers_seen(mutual[protocol], ours)


@needs_openssl
@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_without_a_certificate_the_server_hangs_up(
    mutual: Mapping[str, str], protocol: str, certificate: Certificate
) -> None:
    with pytest.raises(ServerUnavailableError):
        headers_seen(mutual[protocol], Credentials(KEY, certificate.certificate))


@pytest.mark.parametrize("kind", [Path, str])
@pytest.mark.parametrize("scheme", ["grpcs", "https"])
def test_a_missing_certificate_file_is_named(scheme: str, kind: type[Path] | type[str], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        headers_seen(f"{scheme}://127.0.0.1:1", Credentials(ca_file=kind(tmp_path / "missing.pem")))


def test_a_file_is_named_by_whatever_names_one() -> None:
    class Named:
        def __fspath__(self) -> str:
            return "authorities.pem"

    assert Credentials(ca_file=Named()).authorities() == "authorities.pem"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"key": "a\nkey"}, "cannot be sent"),
        ({"headers": {"a b": "c"}}, "cannot be sent"),
        ({"private_key_file": Path("key.pem")}, "needs the certificate"),
    ],
)
def test_what_cannot_be_sent_is_refused_beforehand(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Credentials(**wrong)


def test_a_key_does_not_show_in_a_log() -> None:
    assert "secret" not in repr(Credentials("secret", headers={"x-api-key": "secret"}))


def test_the_command_line_takes_the_key_from_its_option_or_the_environment(
    plain: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["detect", __file__, "--server", plain["http"]]
    assert main(argv) == 1
    assert "does not accept the key" in capsys.readouterr().err
    monkeypatch.setenv("VFNET_API_KEY", KEY)
    assert main(argv) == 1
    assert "not the documented JSON" in capsys.readouterr().err  # it was let in
    assert main([*argv, "--key", "another"]) == 1
    assert "does not accept the key" in capsys.readouterr().err

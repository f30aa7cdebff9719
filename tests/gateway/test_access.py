"""Keys and certificates: who is let in, and what the log tells of it."""

from __future__ import annotations

import signal
import ssl
import subprocess
from pathlib import Path

import httpx
import pytest

from gateway_process import RunningGateway, running_gateway
from score_requests import GOOD, post, score, table
from triton_server import ServedRepository
from waiting import eventually

pytestmark = pytest.mark.served

BODY = {"input_data": table([])}
NO_SERVER = "grpc://127.0.0.1:1"


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def status(gateway: RunningGateway, key: str) -> int:
    with gateway.client() as client:
        return post(client, BODY, headers=bearer(key)).status_code


def test_keys_open_what_detects_and_nothing_else_is_locked(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("# ours\nfirst-key\n\n  # of the other team\nsecond-key\n")
    environment = {"VFNET_GATEWAY_KEYS": "third-key, fourth-key"}
    options = (f"--keys-file={keys}", "--protect-metrics")
    with running_gateway(NO_SERVER, tmp_path, *options, environment=environment) as gateway, gateway.client() as client:
        for key in ("first-key", "second-key", "third-key", "fourth-key"):
            assert post(client, BODY, headers=bearer(key)).status_code == 200
            assert client.get("/metrics", headers=bearer(key)).status_code == 200
        for authorization in (None, "", "first-key", "Basic first-key", "Bearer", "Bearer nope", "Bearer first-key x"):
            headers = {} if authorization is None else {"authorization": authorization}
            for path in ("/score", "/invocations"):
                reply = post(client, BODY, path, headers)
                assert reply.status_code == 401
                assert reply.headers["www-authenticate"] == "Bearer"
                assert list(reply.json()) == ["message"]
            for path in ("/metrics", "/ui/stages", "/ui/info"):
                assert client.get(path, headers=headers).status_code == 401
        assert client.get("/").status_code == client.get("/version").status_code == 200
        assert client.get("/health").status_code == 503  # open, and nobody behind it
        log = gateway.log.read_text()
    assert "4 keys are valid" in log
    assert "-key" not in log.replace("no_valid_key", "")


def test_an_open_gateway_says_so(gateway: RunningGateway) -> None:
    assert any("no keys are configured" in line.get("message", "") for line in gateway.log_lines())


def test_a_changed_file_of_keys_counts_without_a_restart(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("old\n")
    with running_gateway(NO_SERVER, tmp_path, f"--keys-file={keys}") as gateway:
        assert (status(gateway, "old"), status(gateway, "new")) == (200, 401)
        keys.write_text("new\n")
        gateway.process.send_signal(signal.SIGHUP)
        assert eventually(lambda: status(gateway, "new") == 200, 10)
        assert status(gateway, "old") == 401
        keys.write_text("newer\n")
        assert eventually(lambda: status(gateway, "newer") == 200, 10)
        keys.unlink()
        gateway.process.send_signal(signal.SIGHUP)
        assert eventually(lambda: "those known stay valid" in gateway.log.read_text(), 10)
        assert status(gateway, "newer") == 200
        keys.write_text("")  # locks everybody out
        assert eventually(lambda: status(gateway, "newer") == 401, 10)


def test_a_file_of_keys_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    with (
        pytest.raises(AssertionError, match=r"cannot read the keys in .*/none: No such file"),
        running_gateway(NO_SERVER, tmp_path, f"--keys-file={tmp_path / 'none'}"),
    ):
        pass


def test_it_serves_with_tls(quick_server: ServedRepository, tmp_path: Path) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "1"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    options = (f"--certificate={certificate}", f"--certificate-key={key}")
    with running_gateway(quick_server.grpc_url, tmp_path, *options) as gateway:
        assert gateway.address.startswith("https://")
        trusting = ssl.create_default_context(cafile=str(certificate))
        with gateway.client(verify=trusting) as client:
            assert score(client, [GOOD]).status_code == 200
        with pytest.raises(httpx.HTTPError):
            httpx.get(gateway.address.replace("https", "http"), trust_env=False)


def test_the_log_has_a_line_a_request_and_nothing_of_the_image(gateway: RunningGateway, client: httpx.Client) -> None:
    headers = {"x-request-id": "log-test"}
    post(client, {"input_data": table([GOOD, "secret-words"])}, "/score?token=hidden", headers)
    assert eventually(lambda: "log-test" in gateway.log.read_text(), 10)
    (line,) = [line for line in gateway.log_lines() if line.get("request_id") == "log-test"]
    assert (line["method"], line["path"], line["status"], line["images"]) == ("POST", "/score", 422, 2)
    assert line["client"] == "127.0.0.1"
    assert line["bytes_in"] > len(GOOD)
    assert line["ms"] >= line["inference_ms"] > 0
    assert {"read_ms", "parse_ms", "write_ms", "bytes_out", "time"} <= line.keys()
    log = gateway.log.read_text()
    assert GOOD[:40] not in log
    assert "secret-words" not in log
    assert "hidden" not in log

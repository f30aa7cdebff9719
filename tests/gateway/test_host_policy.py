"""A gateway without keys: by which names it may be asked, from whose pages, and where it listens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from gateway_process import RunningGateway, running_gateway
from score_requests import post, table
from vfnet_client.exceptions import RequestError
from vfnet_gateway.host_policy import HostPolicy, is_loopback

NO_SERVER = "grpc://127.0.0.1:1"
BODY = {"input_data": table([])}


def status(policy: HostPolicy, method: str = "POST", **headers: str) -> int:
    try:
        policy.check(method, {name.replace("_", "-"): value for name, value in headers.items()})
    except RequestError as error:
        return error.status
    return 200


@pytest.mark.parametrize(
    ("host", "on_loopback", "beyond"),
    [
        ("localhost", 200, 200),
        ("LOCALHOST:5001", 200, 200),
        ("localhost.:5001", 200, 200),
        ("127.0.0.1:5001", 200, 200),
        ("127.9.9.9", 200, 200),
        ("[::1]:5001", 200, 200),
        ("10.1.2.3:5001", 421, 200),
        ("[fd00::1]:5001", 421, 200),
        ("gateway:5001", 200, 200),
        ("evil.example", 421, 421),
        ("evil.example:5001", 421, 421),
        ("localhost.evil.example", 421, 421),
        ("127.0.0.1.evil.example", 421, 421),
        ("127.1", 421, 421),
        ("user@localhost", 200, 200),
        ("localhost@evil.example", 421, 421),
        ("", 421, 421),
        ("[", 421, 421),
    ],
)
def test_it_is_asked_by_its_own_names_only(host: str, on_loopback: int, beyond: int) -> None:
    for listening, expected in (("127.0.0.1", on_loopback), ("0.0.0.0", beyond)):
        policy = HostPolicy.of(listening, ["Gateway."])
        assert status(policy, "GET", host=host) == status(policy, host=host) == expected


@pytest.mark.parametrize(
    ("expected", "headers"),
    [
        (200, {}),
        (200, {"origin": "http://localhost:5001"}),
        (200, {"origin": "http://localhost:5001", "sec_fetch_site": "same-origin"}),
        (200, {"sec_fetch_site": "none"}),
        (200, {"origin": "https://detector.example", "sec_fetch_site": "cross-site"}),
        (403, {"origin": "http://localhost:3000"}),
        (403, {"origin": "https://evil.example"}),
        (403, {"origin": "null"}),
        (403, {"sec_fetch_site": "cross-site"}),
        (403, {"sec_fetch_site": "same-site"}),
        (403, {"origin": "http://localhost:5001", "sec_fetch_site": "cross-site"}),
    ],
)
def test_pages_of_other_sites_are_not_served(expected: int, headers: dict[str, str]) -> None:
    policy = HostPolicy.of("127.0.0.1", ["detector.example"])
    assert status(policy, host="localhost:5001", **headers) == expected
    assert status(policy, "GET", host="localhost:5001", **headers) == 200


def test_any_name_may_be_allowed_and_no_url_is_a_name() -> None:
    assert status(HostPolicy.of("0.0.0.0", ["*"]), "GET", host="whatever.example") == 200
    for wrong in ("http://a", "a:1", "", "a/b", "a b"):
        with pytest.raises(ValueError, match="not a host name"):
            HostPolicy.of("127.0.0.1", [wrong])


def test_loopback_is_told_from_the_rest() -> None:
    assert all(map(is_loopback, ["127.0.0.1", "127.8.8.8", "::1", "localhost"]))
    assert not any(map(is_loopback, ["0.0.0.0", "::", "10.0.0.1", "gateway", ""]))


@pytest.fixture(scope="module")
def keyless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with running_gateway(NO_SERVER, tmp_path_factory.mktemp("keyless"), "--timeout=1") as running:
        yield running


@pytest.mark.served
@pytest.mark.parametrize("path", ["/", "/ui/", "/metrics", "/swagger.json", "/nowhere", "/health"])
def test_every_route_is_behind_the_check(path: str, keyless: RunningGateway) -> None:
    with keyless.client() as client:
        reply = client.get(path, headers={"host": "rebound.example"})
        assert (reply.status_code, list(reply.json())) == (421, ["message"])
        assert client.post("/score", content=b"{}", headers={"origin": "http://evil.example"}).status_code == 403
        assert post(client, BODY).status_code == 200


@pytest.mark.served
def test_with_keys_any_name_will_do(tmp_path: Path) -> None:
    environment = {"VFNET_GATEWAY_KEYS": "a-key"}
    with running_gateway(NO_SERVER, tmp_path, environment=environment) as gateway, gateway.client() as client:
        headers = {"host": "detector.example", "origin": "https://other.example", "authorization": "Bearer a-key"}
        assert post(client, BODY, headers=headers).status_code == 200
        assert post(client, BODY, headers={"host": "detector.example"}).status_code == 401


def refused(tmp_path: Path, *options: str, **environment: str) -> str:
    with (
        pytest.raises(AssertionError) as caught,
        running_gateway(NO_SERVER, tmp_path, *options, environment=environment),
    ):
        pass
    return str(caught.value)


@pytest.mark.served
def test_strangers_need_a_key_or_the_operator_s_word(tmp_path: Path) -> None:
    assert "--without-keys" in refused(tmp_path, "--host=0.0.0.0")
    assert "not a host name" in refused(tmp_path, "--allow-host=http://a")
    with running_gateway(NO_SERVER, tmp_path, "--host=0.0.0.0", "--without-keys") as gateway:
        assert any("no keys are configured" in line.get("message", "") for line in gateway.log_lines())
        address = gateway.address.replace("0.0.0.0", "127.0.0.1")
        assert httpx.get(address, trust_env=False).status_code == 200
        assert httpx.get(address, headers={"host": "rebound.example"}, trust_env=False).status_code == 421


@pytest.mark.served
@pytest.mark.parametrize("value", ["", ",", " , ,"])
def test_a_variable_that_holds_no_key_does_not_open_the_gateway(value: str, tmp_path: Path) -> None:
    assert "VFNET_GATEWAY_KEYS is set and holds no key" in refused(tmp_path, VFNET_GATEWAY_KEYS=value)

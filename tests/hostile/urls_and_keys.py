"""Images by URL from where none may come, and callers without a key."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from tritonclient.grpc import service_pb2 as kserve

from attack import DOOR, Attack, AttackList, Reply, answered, call, exchange, http, post_json, refused, request
from deployment import Deployment
from image_site import HOST, SCRIPTS
from reference_answers import infer_request
from score_requests import GOOD
from side_gateways import KEY, SideGateways

NAMES = {
    # Those two also with a dot at the end, which makes a name of a number.
    "127.0.0.1": ["127.0.0.1"],
    "localhost": ["127.0.0.1"],
    HOST: ["127.0.0.1"],
    "metadata.hostile.test": ["169.254.169.254"],
    "metadata.google.internal": ["169.254.169.254"],  # as within Google's cloud
    "loopback.hostile.test": ["127.0.0.1"],
    "loopback6.hostile.test": ["::1"],
    "private.hostile.test": ["192.168.0.1"],
    "mapped.hostile.test": ["::ffff:10.0.0.1"],
    "nat64.hostile.test": ["64:ff9b::a9fe:a9fe"],
    "mixed.hostile.test": ["93.184.215.14", "169.254.169.254"],
    "azure.hostile.test": ["168.63.129.16"],
}
"""What the deployment's own resolver answers. None is ever asked of a network."""

_ADDRESSES = """
127.0.0.1 127.1 127.0.1 0 0.0.0.0 0x7f.1 0x7f000001 017700000001 2130706433 127.127.127.127 0177.0.0.1 127.0.0.1.
10.0.0.1 10.1 172.16.0.1 172.31.255.255 192.168.1.1 169.254.169.254 169.254.43518 0xa9fea9fe 2852039166 0251.0376.0251.0376
168.63.129.16 100.64.0.1 100.100.100.200 192.0.0.192 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.250 240.0.0.1
255.255.255.255 192.0.2.1 192.88.99.1 [::1] [::] [::ffff:127.0.0.1] [::ffff:7f00:1] [::ffff:169.254.169.254] [::127.0.0.1]
[64:ff9b::7f00:1] [64:ff9b::a9fe:a9fe] [64:ff9b:1::1] [2002:7f00:1::] [2001::1] [2001:db8::1] [fe80::1] [fe80::1%25lo]
[fe80::1%25eth0] [fc00::1] [fd00:ec2::254] [fec0::1] [ff02::1] [::1%25lo] [0:0:0:0:0:0:0:1] [::ffff:0:127.0.0.1]
[5f00::1] [100::1] [3fff::1]
localhost LOCALHOST localhost. metadata.hostile.test loopback.hostile.test loopback6.hostile.test private.hostile.test
mapped.hostile.test nat64.hostile.test mixed.hostile.test azure.hostile.test METADATA.hostile.test. unknown.hostile.test
①②⑦.⓪.⓪.① １２７.０.０.１ 127。0。0。1 ⅼocalhost
user:secret@127.0.0.1 images.hostile.test@169.254.169.254 127.0.0.1#@93.184.215.14 127.0.0.1%2f@93.184.215.14
127.0.0.1\\@93.184.215.14 93.184.215.14@127.0.0.1 127.0.0.1:80 127.0.0.1:0 127.0.0.1:65536 127.0.0.1:-1 127.0.0.1:x
[::1]:80 [::1 ::1 [127.0.0.1] .. . %31%32%37.0.0.1 127.0.0.1%00.test 127.0.0.1%0d%0aHost:x
""".split()  # noqa: SIM905


def url_attacks(sides: SideGateways) -> list[Attack]:
    """All of them. What is sent beyond this machine is caught by the deployment's guard, and seen at the end."""
    found = AttackList("image URLs")
    port_of_triton = "127.0.0.1"
    urls = [f"http://{address}/" for address in _ADDRESSES]
    urls += [f"https://{address}/" for address in _ADDRESSES[:6]]
    urls += [
        "http:///", "http:", "http://", "https:/127.0.0.1/", "http:127.0.0.1", "HTTP://127.0.0.1", "hTTpS://[::1]/",
        "http://127.0.0.1/\r\nX: y", " http://127.0.0.1/", "\thttp://127.0.0.1/", "http://127.0.0.1/ ", "http://\x00/",
        "http://" + "a" * 300 + ".test/", "http://" + "a." * 200 + "test/", "http://\ud800.test/", "http://xn--/",
        "http://xn--999999999999/", "http://[" + ":" * 5000 + "]/", "http://127.0.0.1:" + "9" * 5000 + "/",
        "http://169.254.169.254/latest/meta-data/iam/security-credentials/", "http://metadata.google.internal/",
        f"http://{port_of_triton}/v2/repository/index", "http://[::ffff:a9fe:a9fe]/", "http://\u0131mages.hostile.test/",
    ]  # fmt: skip
    for url in urls:
        document = {"input_data": {"columns": ["image"], "data": [url]}}
        found.add(f"/score: {url[:70]!r}", DOOR, http(DOOR, post_json("/score", document), 30))
    for url in urls[: len(_ADDRESSES) : 2]:
        data = request("GET", f"/ui/picture?url={quote(url, safe='')}")
        found.add(f"GET /ui/picture: {url!r}", DOOR, http(DOOR, data, 30))
        data = post_json("/ui/picture", {"url": url})
        found.add(f"POST /ui/picture: {url!r}", DOOR, http(DOOR, data, 30))
    many = {"input_data": {"columns": ["image"], "data": [f"http://n{i}.hostile.test/" for i in range(60)]}}
    found.add("/score: 60 unknown names", DOOR, http(DOOR, post_json("/score", many), 60))
    kserve = {"inputs": [{"name": "IMAGE", "datatype": "BYTES", "shape": [1], "data": ["http://127.0.0.1/x.png"]}]}
    found.add("KServe: a URL for an image", DOOR, http(DOOR, post_json("/v2/models/vfnet/infer", kserve)))
    for path in SCRIPTS:
        is_good = path == "good"
        found.add(f"the site's /{path}", DOOR, _fetch(sides, path), allowed=_served if is_good else refused,
                  is_quick=path.startswith("to-"))  # fmt: skip
    return found.attacks


def _served(reply: Reply) -> bool:
    return reply.outcome == "200"


def _fetch(sides: SideGateways, path: str) -> Callable[[Deployment], Reply]:
    document = {"input_data": {"columns": ["image"], "data": [f"http://{HOST}:{sides.site_port}/{path}"]}}

    def send(_deployment: Deployment) -> Reply:
        return sides.while_another_asks(lambda: exchange(sides.fetching.port, post_json("/score", document), 60))

    return send


def key_attacks(sides: SideGateways) -> list[Attack]:
    """All of them, against the gateway that has keys."""
    found = AttackList("keys")
    body: dict[str, Any] = {"input_data": {"columns": ["image"], "data": [GOOD]}}

    def score(*authorizations: str) -> bytes:
        lines = {"Content-Type": "application/json"}
        text = json.dumps(body).encode()
        head = "\r\nAuthorization: ".join(authorizations)
        return request("POST", "/score", text, lines | ({"Authorization": head} if authorizations else {}))

    def add(name: str, data: bytes, allowed: Callable[[Reply], bool] = _no_entry) -> None:
        found.add(name, DOOR, lambda _deployment: exchange(sides.locked.port, data), allowed=allowed)

    add("the key itself", score(f"Bearer {KEY}"), _served)
    add("the environment's key", score("Bearer key-of-the-environment"), _served)
    add("none", score())
    basic = base64.b64encode(f"{KEY}:".encode()).decode()
    for value in (
        "", " ", "Bearer", "Bearer ", "Bearer  ", KEY, f"Basic {basic}", f"Basic {KEY}", f"Token {KEY}", f"Bearer {KEY}x",
        f"Bearer x{KEY}", f"Bearer {KEY[:-1]}", f"Bearer {KEY.upper()}", f"Bearer {KEY},{KEY}", f"Bearer {KEY} {KEY}",
        f'Bearer "{KEY}"', f"Bearer Bearer {KEY}", f"Bearer={KEY}", "Bearer #", "Bearer # keys of this test",
        "Bearer #commented-out-key", "Bearer commented-out-key", "Bearer key-with-", "Bearer keys of this test", "Bearer ,",
        "Bearer null", "Bearer undefined", "Bearer *", "Bearer %", f"Bearer {quote(KEY).replace('-', '%2d')}",
        "Bearer " + "x" * 60_000, f"Bearer {KEY}\u00e9", "Bearer \u00e9", f"Bearer {KEY[:5]}\u200b{KEY[5:]}",
    ):  # fmt: skip
        add(f"Authorization: {value[:40]!r}", score(value))
    add("the key with NUL", score(f"Bearer {KEY}\0"))
    add("two headers, wrong and right", score("Bearer wrong", f"Bearer {KEY}"), answered)
    add("in the query", request("POST", f"/score?key={KEY}&access_token={KEY}&api-key={KEY}", json.dumps(body).encode(),
                                {"Content-Type": "application/json"}))  # fmt: skip
    for header in ("X-Api-Key", "Proxy-Authorization", "X-Authorization", "Cookie", "Authorization\t"):
        add(f"in {header!r}", request("POST", "/score", json.dumps(body).encode(),
                                      {"Content-Type": "application/json", header: f"Bearer {KEY}"}))  # fmt: skip
    for method, path in _LOCKED:
        data = request(method, path, b"{}" if method == "POST" else b"", {"Content-Type": "application/json"})
        add(f"{method} {path} without a key", data)
        add(
            f"{method} {path} with a wrong key",
            data.replace(b"\r\n\r\n", b"\r\nAuthorization: Bearer wrong\r\n\r\n", 1),
        )
    for path in ("//score", "/score/", "/./score", "/%73core", "/SCORE", "/ui/../score", "/health/../score"):
        data = request("POST", path, json.dumps(body).encode(), {"Content-Type": "application/json"})
        add(f"POST {path} without a key", data)
    _add_grpc(found, sides.locked.grpc_port)
    return found.attacks


def _add_grpc(found: AttackList, port: int) -> None:
    infer, good = infer_request(base64.b64decode(GOOD)), [("authorization", f"Bearer {KEY}")]

    def add(name: str, method: str, message: Any, metadata: list[tuple[str, str]], allowed: Any = _no_entry) -> None:
        found.add(f"gRPC {name}", DOOR, lambda _deployment: call(port, method, message, metadata), allowed=allowed)

    add("with the key", "ModelInfer", infer, good, lambda reply: reply.outcome == "OK")
    for value in (
        "",
        "Bearer",
        "Bearer wrong",
        KEY,
        f"Basic {KEY}",
        f"Bearer {KEY}x",
        f"Bearer {KEY[:-1]}",
        "Bearer key-with-",
    ):
        add(f"with {value[:40]!r}", "ModelInfer", infer, [("authorization", value)])
    add("without a key", "ModelInfer", infer, [])
    add("key in other metadata", "ModelInfer", infer, [("x-api-key", KEY), ("key", KEY)])
    for method, message in {
        "ModelMetadata": kserve.ModelMetadataRequest(name="vfnet"),
        "ModelConfig": kserve.ModelConfigRequest(name="vfnet"),
        "ModelStatistics": kserve.ModelStatisticsRequest(name="vfnet"),
        "RepositoryIndex": kserve.RepositoryIndexRequest(),
    }.items():
        add(f"{method} without a key", method, message, [])


_LOCKED = (
    ("POST", "/score"), ("POST", "/invocations"), ("GET", "/ui/info"), ("GET", "/ui/stages"), ("POST", "/ui/picture"),
    ("GET", "/metrics"), ("POST", "/v2/models/vfnet/infer"), ("POST", "/v2/models/vfnet/versions/1/infer"),
    ("GET", "/v2/models/vfnet"), ("GET", "/v2/models/vfnet/versions/1"), ("GET", "/v2/models/vfnet/config"),
    ("GET", "/v2/models/vfnet/stats"), ("POST", "/v2/repository/index"),
)  # fmt: skip


def _no_entry(reply: Reply) -> bool:
    """Refused, and nothing given away."""
    return refused(reply) and "boxes" not in reply.text and KEY not in reply.text

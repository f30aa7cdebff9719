"""`vfnet gateway --capture` in front of a real Triton: what is kept, of whom, and what happens when that fails."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from gateway_process import RunningGateway, running_gateway
from kserve_requests import base64_input, call, infer_message, post_json
from score_requests import GOOD, post, strip_png, table
from triton_server import ServedRepository
from vfnet_capture import CapturedImage, CaptureStore, open_store
from waiting import eventually

pytestmark = pytest.mark.served

BODY = {"input_data": table([GOOD])}


@dataclass(frozen=True)
class Capturing:
    """A gateway and where it keeps images."""

    gateway: RunningGateway
    place: Path

    @property
    def store(self) -> CaptureStore:
        return open_store(str(self.place))

    def kept_of(self, request: str, images: int) -> list[CapturedImage]:
        """So many images of one request, once they are there."""
        assert eventually(lambda: self.place.is_dir() and len(self._of(request)) == images)
        return self._of(request)

    def table(self) -> str:
        path = self.place / "captured.jsonl"
        return path.read_text() if path.exists() else ""

    def _of(self, request: str) -> list[CapturedImage]:
        if not (self.place / "capture.json").exists():
            return []
        return [image for image in self.store.images() if image.request == request]


@pytest.fixture(scope="module")
def capturing(quick_server: ServedRepository, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Capturing]:
    folder = tmp_path_factory.mktemp("capturing")
    options = (f"--capture={folder / 'store'}", "--capture-share=100", "--workers=2")
    with running_gateway(quick_server.grpc_url, folder, *options) as gateway:
        yield Capturing(gateway, folder / "store")


@pytest.fixture
def client(capturing: Capturing) -> Iterator[httpx.Client]:
    with capturing.gateway.client() as opened:
        yield opened


def captured(*words: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "vfnet_client", "captured", *words]
    return subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def quick_server_checkpoint(quick_server: ServedRepository) -> str:
    """Its SHA-256 sum."""
    return str(json.loads((quick_server.repository / "vfnet_build.json").read_text())["checkpoint_sha256"])


def test_images_of_every_protocol_are_kept(
    capturing: Capturing, client: httpx.Client, quick_server_checkpoint: str
) -> None:
    pictures = [strip_png(shade) for shade in (1, 2)]
    body = {"input_data": table([base64.b64encode(each).decode() for each in pictures])}
    reply = post(client, body, headers={"x-request-id": "two"})
    kept = capturing.kept_of("two", 2)
    assert sorted(map(capturing.store.picture, kept)) == sorted(pictures)
    assert all(len(image.detections) == len(reply.json()[0]["boxes"]) for image in kept)
    assert [(image.width, image.height, image.ending) for image in kept] == [(1333, 32, "png")] * 2
    document = {"inputs": [base64_input()], "outputs": [{"name": "LABELS"}]}
    reply = post_json(client, document, headers={"content-type": "application/json", "x-request-id": "rest"})
    assert [output["name"] for output in reply.json()["outputs"]] == ["LABELS"]
    call(capturing.gateway, "ModelInfer", infer_message(outputs=("LABELS",)), metadata={"x-request-id": "grpc"})
    for request in ("rest", "grpc"):
        (image,) = capturing.kept_of(request, 1)
        assert (image.deployment, bool(image.detections), image.reasons) == ("vfnet", True, ("share",))
    for each in (*kept, *capturing.kept_of("grpc", 1)):
        assert (each.answered_by, each.checkpoint) == ("vfnet", quick_server_checkpoint[:16])


def test_a_request_without_an_id_is_found_by_the_one_it_got(capturing: Capturing, client: httpx.Client) -> None:
    capturing.kept_of(post(client, BODY).headers["x-request-id"], 1)


@pytest.mark.parametrize("wish", ["no", "No", "never", ""])
def test_a_caller_may_say_no(wish: str, capturing: Capturing, client: httpx.Client) -> None:
    assert post(client, BODY, headers={"x-vfnet-capture": wish, "x-request-id": f"not-{wish}-kept"}).status_code == 200
    post(client, BODY, headers={"x-vfnet-capture": "yes", "x-request-id": f"after-{wish}-kept"})
    capturing.kept_of(f"after-{wish}-kept", 1)
    assert capturing._of(f"not-{wish}-kept") == []


def test_what_was_not_answered_is_not_kept(capturing: Capturing, client: httpx.Client) -> None:
    body = {"input_data": table([GOOD, base64.b64encode(b"no image").decode()])}
    assert post(client, body, headers={"x-request-id": "half"}).status_code == 422
    capturing.kept_of("half", 1)


def test_what_is_forgotten_is_gone(capturing: Capturing, client: httpx.Client) -> None:
    mine = strip_png(77)
    for request in ("mine", "another's"):
        body = {"input_data": table([base64.b64encode(mine if request == "mine" else strip_png(78)).decode()])}
        post(client, body, headers={"x-request-id": request})
    (image,) = capturing.kept_of("mine", 1)
    capturing.kept_of("another's", 1)
    assert eventually(lambda: image.id in capturing.table())
    done = captured("forget", str(capturing.place), "--request=mine")
    assert done.returncode == 0
    assert "forgot 1 image," in done.stderr
    assert "not removed" in done.stderr
    digest = hashlib.sha256(mine).hexdigest()
    for path in capturing.place.rglob("*"):
        assert image.id not in path.name
        if path.is_file():
            content = path.read_bytes()
            assert image.id.encode() not in content
            assert hashlib.sha256(content).hexdigest() != digest
    capturing.kept_of("another's", 1)
    # A running gateway does not write it into the tables again.
    post(client, BODY, headers={"x-request-id": "later"})
    (later,) = capturing.kept_of("later", 1)
    assert eventually(lambda: later.id in capturing.table())
    assert image.id not in capturing.table()


def test_metrics_say_what_was_kept(capturing: Capturing, client: httpx.Client) -> None:
    sample = 'vfnet_gateway_captured_images_total{reason="share"}'
    before = capturing.gateway.metric(sample)
    post(client, {"input_data": table([GOOD] * 5)})
    assert eventually(lambda: capturing.gateway.metric(sample) == before + 5)
    assert capturing.gateway.metric("vfnet_gateway_capture_works") == 1
    assert eventually(lambda: capturing.gateway.metric("vfnet_gateway_capture_store_images") > 0)


def test_a_place_that_cannot_be_written_costs_images_only(quick_server: ServedRepository, tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a folder is to be")
    place = blocked / "store"
    options = (f"--capture={place}", "--capture-share=100")
    with running_gateway(quick_server.grpc_url, tmp_path, *options) as gateway, gateway.client() as client:
        for _ in range(5):
            assert post(client, BODY).status_code == 200
        assert eventually(lambda: gateway.metric("vfnet_gateway_capture_works") == 0)
        sample = 'vfnet_gateway_capture_dropped_images_total{reason="unwritable"}'
        assert eventually(lambda: gateway.metric(sample) == 5)
        blocked.unlink()

        def is_kept() -> bool:
            assert post(client, BODY).status_code == 200
            return gateway.metric('vfnet_gateway_captured_images_total{reason="share"}') > 0

        assert eventually(is_kept)
        assert gateway.metric("vfnet_gateway_capture_works") == 1
        warnings = [line for line in gateway.log_lines() if "captured images" in line.get("message", "")]
        assert [line["level"] for line in warnings] == ["WARNING", "INFO"]
    assert next(open_store(str(place)).images()).deployment == "vfnet"


def test_a_url_that_nothing_opens_is_said_at_the_start(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "vfnet_client", "gateway", "--capture=nowhere://bucket", "--port=0"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("vfnet gateway: cannot open nowhere://bucket: ")
    assert len(done.stderr.splitlines()) == 1

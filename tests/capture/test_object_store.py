"""A store at an object store: a real S3 API where s3fs and moto are installed, and fsspec's own memory everywhere."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from captured_images import DOUBTFUL, Keeping, offer, picture
from vfnet_capture import Review, open_store
from vfnet_capture.exporting import export
from vfnet_capture.forgetting import Criteria, forget
from vfnet_capture.store import ChangedError
from vfnet_client.exceptions import CommandError
from vfnet_client.free_ports import free_ports
from vfnet_data import read_dataset
from waiting import eventually


@pytest.fixture(scope="module", params=["memory", pytest.param("s3", marks=pytest.mark.served)])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "memory":
        yield f"memory://{uuid4().hex}/captured"
        return
    if find_spec("s3fs") is None or find_spec("moto") is None:
        pytest.skip("needs the packages s3fs and moto[server], which are not installed")
    (port,) = free_ports(1)
    address = f"http://127.0.0.1:{port}"
    environment = {
        "AWS_ENDPOINT_URL": address, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }  # fmt: skip
    server = subprocess.Popen([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)])

    def answers() -> bool:
        with contextlib.suppress(httpx.TransportError):
            return httpx.put(f"{address}/bucket", trust_env=False).status_code == 200
        return False

    try:
        assert eventually(answers, 60)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            yield "s3://bucket/captured"
    finally:
        server.terminate()
        server.wait(20)


def test_a_store_there_does_what_a_folder_does(url: str, tmp_path: Path) -> None:
    keeping = Keeping(url, max_count=4)
    keeping.keep(*(offer(str(number), picture(number), DOUBTFUL, time.time() - 10 + number) for number in range(6)))
    keeping.keeper.close()
    store = open_store(url)
    images = list(store.images())
    assert [image.request for image in images] == ["2", "3", "4", "5"]
    assert store.picture(images[0]) == picture(2)
    store.save(images[0].reviewed(images[0].labels[:1], Review("accepted", "", "")))
    with pytest.raises(ChangedError) as changed:
        store.save(images[0].reviewed((), Review("accepted", "", "")))
    assert changed.value.image.version == 1
    assert export(store, tmp_path / "accepted") == 1
    assert len(read_dataset(tmp_path / "accepted" / "reviewed.jsonl").images) == 1
    done = forget(store, Criteria(requests={"3"}))
    assert (done.images, done.left) == (1, 3)
    assert len(store.storage.read("captured.jsonl").splitlines()) == 3
    assert len(store.storage.listing("images/")) == 3


def test_nothing_is_no_store(url: str) -> None:
    with pytest.raises(CommandError, match="is no capture store"):
        open_store(f"{url}/nothing")

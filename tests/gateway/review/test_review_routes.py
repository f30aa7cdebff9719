"""What `/review` answers, without a browser: keys, versions, and saves that make no sense."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from reviewers import Reviewed
from waiting import eventually

pytestmark = pytest.mark.served

BOX = {"label": "can", "topX": 0.1, "topY": 0.1, "bottomX": 0.2, "bottomY": 0.2, "isCrowd": 0}


@pytest.fixture
def client(review: Reviewed) -> Iterator[httpx.Client]:
    with review.client() as opened:
        yield opened


def path_of(review: Reviewed) -> str:
    return f"/review/images/{review.images()[0].id}"


def save(client: httpx.Client, path: str, version: Any, labels: Any = (BOX,), **more: Any) -> httpx.Response:
    body = {"label": labels, "state": "begun"} | more
    headers = {} if version is None else {"if-match": f'"{version}"'}
    return client.put(path, json=body, headers=headers)


def test_only_reviewers_see_images(review: Reviewed) -> None:
    path = path_of(review)
    for key in ("none", "another", "a-reviewers-key2"):
        with review.client(key) as client:
            for each in ("/review/images", path, f"{path}/picture"):
                assert client.get(each).status_code == 401
            assert save(client, path, 0).status_code == 401
    assert review.images()[0].version == 0
    with review.gateway.client() as client:
        assert client.get("/review/").status_code == 200  # the page itself is nobody's secret
        assert client.get("/review").headers["location"] == "review/"


def test_a_picture_comes_as_it_was_sent(review: Reviewed, client: httpx.Client) -> None:
    image = review.images()[0]
    reply = client.get(f"{path_of(review)}/picture")
    assert reply.content == review.store.picture(image)
    assert reply.headers["content-type"] == "application/octet-stream"
    assert reply.headers["content-security-policy"].startswith("sandbox")
    assert reply.headers["x-content-type-options"] == "nosniff"


def test_lists_say_what_is_left(review: Reviewed, client: httpx.Client) -> None:
    listed = client.get("/review/images").json()
    assert [entry["certainty"] for entry in listed["images"]] == [0.4, 0.7, 0.9]
    assert listed["counts"] == {"open": 3, "accepted": 0, "left_out": 0}
    assert listed["classes"] == ["bottle", "can", "carton"]
    assert save(client, path_of(review), 0, state="accepted").status_code == 200
    listed = client.get("/review/images?limit=1").json()
    assert [entry["certainty"] for entry in listed["images"]] == [0.7]
    assert listed["counts"] == {"open": 2, "accepted": 1, "left_out": 0}
    assert len(client.get("/review/images?state=accepted").json()["images"]) == 1
    assert client.get("/review/images?state=what").status_code == 400
    for limit in ("0", "501", "x", "9" * 5000):  # of which the last is no number to Python
        assert client.get(f"/review/images?limit={limit}").status_code == 400


def test_a_save_names_what_it_was_made_from(review: Reviewed, client: httpx.Client) -> None:
    path = path_of(review)
    assert client.get(path).headers["etag"] == '"0"'
    reply = save(client, path, 0, by="Ann")
    assert (reply.status_code, reply.headers["etag"]) == (200, '"1"')
    assert (reply.json()["label"], reply.json()["review"]["by"]) == ([BOX], "Ann")
    reply = save(client, path, 0, [])
    assert (reply.status_code, reply.headers["etag"], reply.json()["label"]) == (409, '"1"', [BOX])
    assert len(review.images()[0].labels) == 1
    assert save(client, path, None).status_code == 428
    assert save(client, path, "x").status_code == 400


def test_of_many_at_once_one_saves_and_the_others_are_told(review: Reviewed) -> None:
    path = path_of(review)

    def one(number: int) -> int:
        with review.client() as client:
            return save(client, path, 0, [{**BOX, "label": f"of {number}"}]).status_code

    with ThreadPoolExecutor(8) as people:
        assert sorted(people.map(one, range(16))) == [200] + [409] * 15
    assert review.images()[0].version == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"label": [{**BOX, "bottomX": 0.05}]}, "box 1 is empty or not within the image"),
        ({"label": [BOX, {**BOX, "topX": -0.1}]}, "box 2 is empty or not within the image"),
        ({"label": [{**BOX, "bottomX": 10**400}]}, "box 1 is empty or not within the image"),
        ({"label": [{**BOX, "score": 10**400}]}, "the score of box 1"),
        ({"label": [{**BOX, "topX": "0.1"}]}, "box 1 lacks one of topX, topY, bottomX, bottomY"),
        ({"label": [{**BOX, "label": " "}]}, "box 1 has no name"),
        ({"label": [{**BOX, "label": "a\nb"}]}, "box 1 has no name"),
        ({"label": [{**BOX, "score": 7}]}, "the score of box 1"),
        ({"label": [BOX] * 1001}, "label is no list of at most 1000 boxes"),
        ({"label": None}, "label is no list"),
        ({"state": "done"}, "state is one of accepted, begun, left_out"),
        ({"by": 7}, "by is a name"),
    ],
)
def test_nonsense_is_refused(change: dict[str, Any], words: str, review: Reviewed, client: httpx.Client) -> None:
    body = {"label": [BOX], "state": "begun"} | change
    reply = client.put(path_of(review), json=body, headers={"if-match": '"0"'})
    assert (reply.status_code, words in reply.json()["message"]) == (400, True), reply.text
    assert review.images()[0].version == 0


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"label": 1e999}', b"[" * 100_000])
def test_what_is_no_json_object_is_refused(content: bytes, review: Reviewed, client: httpx.Client) -> None:
    reply = client.put(path_of(review), content=content, headers={"if-match": '"0"'})
    assert reply.status_code == 400


@pytest.mark.parametrize("image_id", ["nothing", "..%2f..%2fcapture", "20260101T000000.000000Z-00000000"])
def test_what_is_not_there_is_said(image_id: str, client: httpx.Client) -> None:
    assert client.get(f"/review/images/{image_id}").status_code == 404


def test_the_tables_follow(review: Reviewed, client: httpx.Client) -> None:
    assert save(client, path_of(review), 0, state="accepted").status_code == 200
    table, image_id = review.place / "reviewed.jsonl", review.images()[0].id
    assert eventually(lambda: table.exists() and image_id in table.read_text())
    assert json.loads(table.read_text())["label"] == [BOX]


def test_keys_without_a_store_are_refused(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("a-key\n")
    line = [sys.executable, "-m", "vfnet_client", "gateway", f"--review-keys-file={tmp_path / 'keys'}", "--port=0"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "there are keys for the review page and no --capture" in done.stderr


def test_without_keys_there_is_no_page(tmp_path: Path) -> None:
    from gateway_process import running_gateway
    from vfnet_client.free_ports import free_ports

    server = f"grpc://127.0.0.1:{free_ports(1)[0]}"
    with running_gateway(server, tmp_path, f"--capture={tmp_path / 'store'}") as gateway, gateway.client() as client:
        assert client.get("/review/").status_code == 404
        assert client.get("/review/images").status_code == 404

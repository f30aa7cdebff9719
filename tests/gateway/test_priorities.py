"""`x-vfnet-priority`: what it may say."""

from __future__ import annotations

import httpx
import pytest

from gateway_process import RunningGateway
from score_requests import GOOD, post, score, table

pytestmark = pytest.mark.served

BODY = {"input_data": table([GOOD])}


@pytest.mark.parametrize("word", ["interactive", "batch", "Batch"])
def test_both_are_served_alike_by_an_idle_server(word: str, client: httpx.Client) -> None:
    reply = post(client, BODY, headers={"x-vfnet-priority": word})
    assert reply.status_code == 200
    assert reply.json() == score(client, [GOOD]).json()


@pytest.mark.parametrize("word", ["", "urgent", "1", "x" * 1000])
def test_other_words_are_refused_with_those_there_are(word: str, client: httpx.Client) -> None:
    reply = post(client, BODY, headers={"x-vfnet-priority": word})
    assert reply.status_code == 400
    assert "interactive or batch" in reply.json()["message"]
    assert len(reply.json()["message"]) < 300


def test_the_description_names_it(gateway: RunningGateway) -> None:
    with gateway.client() as client:
        document = client.get("/swagger.json?version=3.1").json()
    for path in ("/score", "/invocations"):
        names = [parameter["name"] for parameter in document["paths"][path]["post"]["parameters"]]
        assert "x-vfnet-priority" in names

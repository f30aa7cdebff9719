"""What `vfnet up` tells people to try works where it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from vfnet.commands.up import _say_endpoints, reachable
from vfnet_serve.endpoints import Endpoints


def test_an_address_to_listen_on_is_shown_as_one_to_ask() -> None:
    assert reachable("grpc://0.0.0.0:5002") == "grpc://127.0.0.1:5002"
    assert reachable("http://[::]:5001") == "http://[::1]:5001"
    assert reachable("https://10.0.0.1:5001") == "https://10.0.0.1:5001"


@pytest.mark.parametrize("has_keys", [True, False])
def test_the_hint_has_a_place_for_the_key_where_one_is_needed(
    has_keys: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    _say_endpoints(Endpoints(), "http://0.0.0.0:5001", "grpc://0.0.0.0:5002", Path("a.png"), has_keys=has_keys)
    told = capsys.readouterr().err
    assert "0.0.0.0" not in told
    assert ('-H "Authorization: Bearer $KEY" --data-binary' in told) is has_keys

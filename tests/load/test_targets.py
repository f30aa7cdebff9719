"""Load goes to this machine only, unless somebody answers for another."""

from __future__ import annotations

import argparse

import pytest

from vfnet_load.targets import TargetError, Targets, add_target_arguments


def targets(*arguments: str) -> Targets:
    parser = argparse.ArgumentParser()
    add_target_arguments(parser)
    return Targets.from_options(parser.parse_args(arguments))


@pytest.mark.parametrize(
    "arguments",
    [(), ("--grpc=localhost:8001",), ("--grpc=grpc://127.0.0.1:9",), ("--gateway=http://[::1]:5001/",)],
)
def test_this_machine_may_be_loaded(arguments: tuple[str, ...]) -> None:
    targets(*arguments).check_loopback()


@pytest.mark.parametrize(
    "argument",
    ["--grpc=192.0.2.1:8001", "--triton-http=http://10.0.0.1:8000", "--gateway=http://[2001:db8::1]:5001",
     "--metrics=http://0.0.0.0:8002"],
)  # fmt: skip
def test_any_other_needs_to_be_answered_for(argument: str) -> None:
    with pytest.raises(TargetError, match="--this-server-is-mine"):
        targets(argument).check_loopback()


@pytest.mark.parametrize("argument", ["--grpc=localhost", "--gateway=http://127.0.0.1", "--metrics=http://h:port"])
def test_a_target_without_port_is_none(argument: str) -> None:
    with pytest.raises(TargetError, match="needs a host and a port"):
        targets(argument).check_loopback()

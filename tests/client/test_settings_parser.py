"""Options from the environment and from a file."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from vfnet_client.cli import main
from vfnet_client.commands.options import GivenOnce, at_least_one, seconds
from vfnet_client.commands.settings_parser import SettingsParser


def parse(*argv: str) -> argparse.Namespace:
    parser = SettingsParser(prog="vfnet serve")
    parser.add_argument("--repository", type=Path, required=True)
    parser.add_argument("--max-in-flight", type=at_least_one, default=16)
    parser.add_argument("--timeout", type=seconds, default=60.0)
    parser.add_argument("--server", action=GivenOnce, default="grpc://a:1")
    parser.add_argument("--engine", choices=("torch", "openvino"))
    parser.add_argument("--allow-host", action="append", default=[])
    parser.add_argument("--scale", nargs="+", type=int, default=[])
    parser.add_argument("--gpus", type=lambda text: None if text == "all" else text, default="none")
    parser.add_argument("--verbose", action="store_true")
    rivals = parser.add_mutually_exclusive_group()
    rivals.add_argument("--cold", type=int)
    rivals.add_argument("--warm", type=int)
    parser.add_argument("--key")
    return parser.parse_args(argv)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "vfnet.toml"


def test_the_command_line_comes_before_the_environment_before_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text('[serve]\nrepository = "r"\nmax-in-flight = 2\ntimeout = 20\nserver = "grpc://f:1"\n')
    monkeypatch.setenv("VFNET_SERVE_MAX_IN_FLIGHT", "8")
    monkeypatch.setenv("VFNET_SERVE_SERVER", "grpc://e:1")
    found = parse("--config", str(file), "--server=grpc://c:1")
    assert (found.repository, found.max_in_flight, found.timeout) == (Path("r"), 8, 20.0)
    assert found.server == "grpc://c:1"
    assert found.engine is None
    monkeypatch.delenv("VFNET_SERVE_MAX_IN_FLIGHT")
    assert parse(f"--config={file}").max_in_flight == 2


def test_what_nobody_gives_is_the_default_and_still_required(capsys: pytest.CaptureFixture[str]) -> None:
    assert parse("--repository=r").max_in_flight == 16
    with pytest.raises(SystemExit, match="2"):
        parse()
    assert "required: --repository" in capsys.readouterr().err


def test_several_values_replace_those_of_lower_rank(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text('[serve]\nrepository = "r"\nallow_host = ["f"]\nscale = [1, 2]\n')
    found = parse(f"--config={file}")
    assert (found.allow_host, found.scale) == (["f"], [1, 2])
    monkeypatch.setenv("VFNET_SERVE_ALLOW_HOST", "e, g")
    monkeypatch.setenv("VFNET_SERVE_SCALE", "3,4")
    found = parse(f"--config={file}")
    assert (found.allow_host, found.scale) == (["e", "g"], [3, 4])
    found = parse(f"--config={file}", "--allow-host=c", "--allow-host=d", "--scale", "5")
    assert (found.allow_host, found.scale) == (["c", "d"], [5])


def test_a_given_nothing_is_not_overridden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VFNET_SERVE_GPUS", "0")
    assert parse("--repository=r").gpus == "0"
    assert parse("--repository=r", "--gpus=all").gpus is None


def test_switches_say_true_or_false(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text('[serve]\nrepository = "r"\nverbose = true\n')
    assert parse(f"--config={file}").verbose is True
    monkeypatch.setenv("VFNET_SERVE_VERBOSE", "no")
    assert parse(f"--config={file}").verbose is False
    assert parse(f"--config={file}", "--verbose").verbose is True


def test_one_of_two_that_exclude_each_other_replaces_the_other(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text('[serve]\nrepository = "r"\ncold = 1\n')
    found = parse(f"--config={file}")
    assert (found.cold, found.warm) == (1, None)
    monkeypatch.setenv("VFNET_SERVE_WARM", "2")
    found = parse(f"--config={file}")
    assert (found.cold, found.warm) == (None, 2)
    found = parse(f"--config={file}", "--cold=3")
    assert (found.cold, found.warm) == (3, None)


def test_the_environment_names_the_file_too(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text('[serve]\nrepository = "r"\n[gateway]\nport = 1\n')
    monkeypatch.setenv("VFNET_SERVE_CONFIG", str(file))
    found = parse()
    assert (found.repository, found.config) == (Path("r"), file)


def test_what_compose_leaves_empty_and_kubernetes_says_of_services_is_no_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VFNET_SERVE_MAX_IN_FLIGHT", "")
    monkeypatch.setenv("VFNET_SERVE_TIMEOUT", "tcp://10.0.0.1:5001")
    monkeypatch.setenv("VFNET_SERVE_TIMEOUT_5001_TCP_ADDR", "10.0.0.1")
    found = parse("--repository=r")
    assert (found.max_in_flight, found.timeout) == (16, 60.0)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[serve]\nmax-inflight = 2", "[serve] max-inflight: there is no such option: max-in-flight perhaps?"),
        ("[serve]\nconfig = 'x'", "[serve] config: there is no such option"),
        ("[serve]\nmax-in-flight = 0", "[serve] max-in-flight: '0' is not a whole number from 1 on"),
        ("[serve]\nmax-in-flight = true", "[serve] max-in-flight: neither a text nor a number"),
        ("[serve]\nmax-in-flight = [1, 2]", "[serve] max-in-flight: 2 values are given for one"),
        ("[serve]\nscale = []", "[serve] scale: 0 values are given for one or more"),
        ("[serve]\nscale = ['x']", "[serve] scale: 'x' is not valid"),
        ("[serve]\nengine = 'onnx'", "[serve] engine: 'onnx' is none of torch, openvino"),
        ("[serve]\nverbose = 'perhaps'", "[serve] verbose: 'perhaps' is neither true nor false"),
        ("[serve]\nkey = 'k'", "[serve] key: a secret stays out of files such as this one: VFNET_API_KEY is for it"),
        ("[serve]\ncold = 1\nwarm = 2", "cold and warm exclude each other"),
        ("max-in-flight = 2", "max-in-flight: stands below no command: write [serve] above it"),
        ("[sevre]\nmax-in-flight = 2", "[sevre]: there is no such command: serve perhaps?"),
        ("[serve", "this is no TOML: "),
        ("[serve]\nhttp-port = " + 5000 * "1", "this is no TOML: "),
    ],
)
def test_what_is_wrong_in_the_file_is_one_sentence(
    file: Path, text: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(text)
    with pytest.raises(SystemExit, match="2"):
        parse("--repository=r", f"--config={file}")
    said = capsys.readouterr().err
    assert said.startswith(f"vfnet serve: {file}: {reason}")
    assert said.count("\n") == 1
    assert "'k'" not in said.replace(reason, "")


def test_a_file_that_is_missing_is_named(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse("--repository=r", f"--config={file}")
    assert capsys.readouterr().err == f"vfnet serve: {file}: No such file or directory\n"


def test_what_is_wrong_in_the_environment_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VFNET_SERVE_MAX_IN_FLIGHT", "many")
    with pytest.raises(SystemExit, match="2"):
        parse("--repository=r")
    said = capsys.readouterr().err
    assert said == "vfnet serve: VFNET_SERVE_MAX_IN_FLIGHT: 'many' is not a whole number from 1 on\n"


def test_secrets_have_variables_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VFNET_SERVE_KEY", "k")
    assert parse("--repository=r").key is None


def test_help_is_shown_whatever_is_wrong_elsewhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VFNET_SERVE_TIMEOUT", "x")
    with pytest.raises(SystemExit, match="0"):
        parse("--help")
    assert "below [serve]" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("command", ["serve", "gateway"])
def test_commands_of_servers_read_them(
    command: str, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(f"[{command}]\nnothing-like-that = 1\n")
    monkeypatch.setenv(f"VFNET_{command.upper()}_CONFIG", str(file))
    assert main([command]) == 2
    assert capsys.readouterr().err == (
        f"vfnet {command}: {file}: [{command}] nothing-like-that: there is no such option\n"
    )

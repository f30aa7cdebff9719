"""What `vfnet up` starts with, and when it starts that anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from vfnet.commands.up import PARSER, add_arguments, wanted_processes
from vfnet_model.manifest import MANIFEST
from vfnet_serve.background import StateFolder
from vfnet_serve.supervision.wanted import Listener, WantedProcess


def fingerprints(state: Path, *argv: str) -> tuple[str, str]:
    wanted = processes(state, *argv)
    return wanted["server"].fingerprint(), wanted["gateway"].fingerprint()


def processes(state: Path, *argv: str) -> dict[str, WantedProcess]:
    parser = PARSER(prog="vfnet up")
    add_arguments(parser)
    return wanted_processes(StateFolder(state), parser.parse_args(argv))


def test_the_file_is_handed_on_and_each_command_reads_its_own_table(tmp_path: Path) -> None:
    file = tmp_path / "vfnet.toml"
    file.write_text('[up]\nscore-port = 6001\nscore-grpc-port = 0\nkeys-file = "/k"\n[gateway]\ntimeout = 20\n')
    wanted = processes(tmp_path, f"--config={file}", "--host=127.0.0.2")
    assert f"--config={file}" in wanted["server"].command
    gateway = wanted["gateway"].command
    assert {f"--config={file}", "--port=6001", "--grpc-port=0", "--keys-file=/k", "--host=127.0.0.2"} <= set(gateway)
    assert wanted["gateway"].listener == Listener("127.0.0.2", 6001)


def test_settings_are_the_same_however_an_editor_saved_them(tmp_path: Path) -> None:
    file = tmp_path / "vfnet.toml"
    text = "[up]\r\nscore-port = 6001\r\n[gateway]\r\ntimeout = 20\r\n"
    found = set()
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le"):
        file.write_bytes(text.encode(encoding))
        assert "--port=6001" in processes(tmp_path, f"--config={file}")["gateway"].command
        found.add(fingerprints(tmp_path, f"--config={file}"))
    assert len(found) == 1


def test_only_what_reads_a_changed_setting_is_started_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "vfnet.toml"
    file.write_text("[gateway]\ntimeout = 20\n")
    config = f"--config={file}"
    server, gateway = fingerprints(tmp_path, config)
    assert fingerprints(tmp_path, config) == (server, gateway)
    file.write_text("[gateway]\ntimeout = 30\n")
    assert fingerprints(tmp_path, config)[0] == server
    assert fingerprints(tmp_path, config)[1] != gateway
    file.write_text("[gateway]\ntimeout = 20\n")
    monkeypatch.setenv("VFNET_SERVE_MAX_WAIT", "2")
    assert fingerprints(tmp_path, config)[0] != server
    assert fingerprints(tmp_path, config)[1] == gateway


def test_the_gateway_serves_all_models_of_the_repository(tmp_path: Path) -> None:
    (tmp_path / "repository").mkdir()
    for name in (MANIFEST, f"small.{MANIFEST}"):
        (tmp_path / "repository" / name).write_text("{}")
    before = fingerprints(tmp_path)
    assert {"--model=vfnet", "--model=small"} <= set(processes(tmp_path)["gateway"].command)
    (tmp_path / "repository" / f"large.{MANIFEST}").write_text("{}")
    after = fingerprints(tmp_path)
    assert after[0] != before[0]
    assert after[1] != before[1]


def test_defaults(tmp_path: Path) -> None:
    wanted = processes(tmp_path)
    assert not [part for part in wanted["server"].command if part.startswith("--config")]
    assert {"--port=5001", "--grpc-port=5002", "--host=127.0.0.1"} <= set(wanted["gateway"].command)
    assert f"--traffic-file={tmp_path / 'traffic.toml'}" in wanted["gateway"].command

"""The `vfnet` command: what it imports, how it fails, where drawings go."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vfnet_client import cli
from vfnet_client.cli import Subcommand, all_commands, main
from vfnet_client.commands.detect import drawing_stems, summary
from vfnet_client.detections import DetectedBox, Detections
from vfnet_client.images import expand

HEAVY = ["torch", "openvino", "cv2", "pandas", "scipy"]
CLOSED = "grpc://127.0.0.1:1"


def imported_by(code: str) -> set[str]:
    """The top-level modules a fresh interpreter holds after running this."""
    listing = f"{code}\nimport sys; print('\\n' + ' '.join({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.splitlines()[-1].split())


def test_importing_the_package_imports_nothing_else() -> None:
    foreign = imported_by("import vfnet_client") - imported_by("pass")
    assert foreign & {"numpy", "PIL", "httpx", "tritonclient", "grpc", "aiohttp", "asyncio", *HEAVY} == set()


@pytest.mark.parametrize("command", ["", "detect", "score", "health", "completion", "batch", "down", "logs"])
def test_help_imports_nothing_heavy(command: str) -> None:
    argv = [*command.split(), "--help"]
    imported = imported_by(f"from vfnet_client.cli import main; assert main({argv}) == 0")
    assert imported & {"numpy", "PIL", "httpx", "tritonclient", "grpc", "aiohttp", *HEAVY} == set()


@pytest.mark.parametrize("command", ["serve", "gateway", "up", "build", "bench network"])
def test_a_server_does_not_wait_for_heavy_imports(command: str) -> None:
    argv = [*command.split(), "--help"]
    assert imported_by(f"from vfnet_client.cli import main; assert main({argv}) == 0") & set(HEAVY) == set()


def test_every_public_name_can_be_imported() -> None:
    import vfnet_client

    assert all(getattr(vfnet_client, name) for name in vfnet_client.__all__)
    assert set(vfnet_client.__all__) <= set(dir(vfnet_client))
    with pytest.raises(AttributeError):
        vfnet_client.Nothing  # noqa: B018


def test_help_lists_every_subcommand(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    listed = capsys.readouterr().out
    for name, subcommand in all_commands().items():
        assert f"  {name}" in listed
        assert subcommand.help in listed


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["paint"],
        ["detect"],
        ["detect", "a.png", "--threshold", "2"],
        ["detect", "a.png", "--threshold", "nan"],
        ["detect", "a.png", "--concurrency", "0"],
        ["health", "--timeout", "-1"],
        ["health", "--timeout", "inf"],
        ["health", "--server", "localhost:8001"],
        ["health", "--server", "grpc://host:port"],
        ["evaluate", "--server", "grpc://a:1", "--server", "grpc://b:1"],
    ],
)
def test_a_usage_error_exits_with_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "usage: vfnet" in captured.err


@pytest.mark.parametrize("argv", [["health"], ["detect", __file__, "--retries=0"]])
def test_a_closed_port_is_one_line_and_exit_code_1(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*argv, "--server", CLOSED]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"vfnet {argv[0]}: no VFNet is ready at {CLOSED}: ")
    assert captured.err.count("\n") == 1


def test_a_server_that_is_away_is_waited_for_as_long_as_allowed_and_that_is_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    started = time.monotonic()
    assert main(["detect", __file__, "--server", CLOSED, "--timeout=1.5"]) == 1
    assert time.monotonic() - started > 0.4
    waiting, error = capsys.readouterr().err.splitlines()
    assert waiting.startswith(f"vfnet: no VFNet is ready at {CLOSED}: ")
    assert waiting.endswith("; asking again for up to 1.5 s")
    assert error.startswith(f"vfnet detect: no VFNet is ready at {CLOSED}: ")


def test_a_missing_request_file_is_one_line_and_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", "missing.json"]) == 1
    assert capsys.readouterr().err == "vfnet score: missing.json: No such file or directory\n"


def test_a_picture_for_score_is_named_as_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"\xff\xd8\xff\xe0 and so on")
    assert main(["score", str(path)]) == 1
    assert capsys.readouterr().err == (
        f"vfnet score: {path} is a picture (JPEG), and this command answers requests: vfnet detect {path}\n"
    )


def test_a_json_target_without_a_folder_is_refused_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["detect", __file__, "--server", CLOSED, "--json", str(tmp_path / "no" / "out.json")]) == 1
    assert "there is no such folder" in capsys.readouterr().err


def test_a_missing_package_names_the_extra_that_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "needy_command.py").write_text("import a_package_nobody_has\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(cli.OWN_COMMANDS, "needy", Subcommand("needy_command", "a help", "detect", "build"))
    assert main(["needy"]) == 1
    # From here: the name on PyPI may be somebody else's.
    source = Path(__file__).parents[2]
    assert capsys.readouterr().err == (
        f"vfnet needy: needs the package 'a_package_nobody_has': pip install '{source}[build]'\n"
    )


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        ("ValueError('odd')", "this should not have happened (ValueError: odd); the same command with --debug"),
        (
            "UnicodeEncodeError('ascii', 'ü', 0, 1, 'no')",
            "'ü' cannot be written in this environment's encoding (ascii)",
        ),
        ("UnicodeDecodeError('utf-8', b'x', 7, 8, 'no')", "this is no utf-8 text: byte 7 is none of it"),
        ("ModuleNotFoundError('none', name='vfnet_gone')", "this should not have happened (ModuleNotFoundError: none)"),
        ("MemoryError()", "there is not enough memory for that"),
        ("RecursionError('deep')", "this should not have happened (RecursionError: deep)"),
        ("OSError(28, 'No space left on device', '/full')", "/full: No space left on device"),
    ],
)
def test_whatever_is_raised_is_one_line_and_with_debug_shows_where(
    raised: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VFNET_DEBUG", "")
    monkeypatch.delenv("VFNET_DEBUG")
    (tmp_path / "odd_command.py").write_text(
        f"def add_arguments(parser):\n    parser.add_argument('--fail')\ndef run(arguments):\n    raise {raised}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "odd_command", raising=False)
    monkeypatch.setitem(cli.OWN_COMMANDS, "odd", Subcommand("odd_command", "a help", "detect"))
    assert main(["odd"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"vfnet odd: {said}")
    assert main(["odd", "--debug", "--fail=x"]) == 1
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert "in run" in shown
    assert shown.splitlines()[-1] == line
    monkeypatch.delitem(sys.modules, "odd_command")


def run_vfnet(*argv: str, **options: object) -> subprocess.Popen[bytes]:
    start = "import sys; from vfnet_client.cli import main; sys.exit(main())"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", start, *argv], **{**pipes, **options})  # type: ignore[call-overload, no-any-return]


def test_an_interrupt_is_quiet_and_exits_with_130() -> None:
    with run_vfnet("score", "-", stdin=subprocess.PIPE) as waiting:
        time.sleep(1.5)  # until it waits for its request
        waiting.send_signal(signal.SIGINT)
        _, err = waiting.communicate(timeout=30)
    assert (waiting.returncode, err) == (130, b"")


def test_a_reader_that_leaves_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with run_vfnet("--help", stdout=writing, env=buffered) as writer:
        os.close(writing)
        _, err = writer.communicate(timeout=30)
    assert (writer.returncode, err) == (141, b"")


def test_a_summary_has_a_line_per_box() -> None:
    boxes = [DetectedBox(0, 0.25, 0.5, 1, "cat", 0.5), DetectedBox(0, 0, 1, 1, "giraffe", 0.25)]
    assert summary("a.png", Detections(boxes)).splitlines() == [
        "a.png: 2 boxes",
        "  cat      0.500  0.000 0.250 0.500 1.000",
        "  giraffe  0.250  0.000 0.000 1.000 1.000",
    ]


def test_drawings_never_share_a_name_or_hide_an_image(tmp_path: Path) -> None:
    arguments = [str(tmp_path / name) for name in ("x.jpg", "X.png", "deep/x.jpg", "x-2.jpg")]
    assert drawing_stems(expand([*arguments, "http://host/x.jpg"]), tmp_path / "out") == [
        "x",
        "X-2",
        "x-3",
        "x-2-2",
        "x-4",
    ]
    assert drawing_stems(expand(arguments[:1]), tmp_path) == ["x-2"]


def test_names_with_commands_for_a_terminal_are_shown_without_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = tmp_path / "\x1b]0;title\x07\nforged \u202e.png"
    assert main(["detect", str(image), "--server", CLOSED]) == 1
    said = capsys.readouterr().err
    assert "\\x1b]0;title\\x07\\nforged \\u202e.png" in said
    assert not {"\x1b", "\x07", "\u202e"} & set(said)


def test_a_pipe_among_the_images_is_not_waited_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to(tmp_path / "b.png")
    assert main(["detect", str(tmp_path), "--server", CLOSED]) == 1
    said = capsys.readouterr().err
    assert "is not a regular file" in said
    assert "is a link in a circle" in said


def test_drawings_of_one_name_with_ever_longer_numbers_stay_distinct(tmp_path: Path) -> None:
    names = ["😀" * 62, "😀" * 62, "a", "a", "a-2", "a"]
    sources = expand([f"http://host/{number}/{name}.jpg" for number, name in enumerate(names)])
    stems = drawing_stems(sources, tmp_path)
    assert len(set(stems)) == len(names)
    assert max(len(stem.encode()) for stem in stems) < 220
    assert stems[2:] == ["a", "a-2", "a-2-2", "a-3"]


def test_output_that_cannot_encode_a_name_shows_it_escaped(tmp_path: Path) -> None:
    image = tmp_path / "貨物.png"
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "vfnet_client", "detect", str(image), f"--server={CLOSED}"]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False, env=environment)
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    assert b"\\u8ca8\\u7269.png" in done.stderr


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_standard_streams_may_be_closed(closed: tuple[int, ...], tmp_path: Path) -> None:
    request = tmp_path / "gone.json"
    said = tmp_path / "said"
    streams = " ".join(f"{number}>&-" for number in closed)
    shell = f'exec "$0" -m vfnet_client score "$1" {streams}'
    with said.open("wb") as output:
        command = ["sh", "-c", shell, sys.executable, str(request)]
        done = subprocess.run(command, stdout=output, stderr=output, timeout=60, check=False)
    assert done.returncode == 1
    expected = "" if 2 in closed else f"vfnet score: {request}: No such file or directory\n"
    assert said.read_text() == expected

"""A real gateway in front of a real Triton that serves two ensembles: shares, callers, copies, and a trial."""

from __future__ import annotations

import io
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import httpx
import pytest
from tritonclient.grpc import service_pb2

from gateway_process import RunningGateway, running_gateway
from kserve_requests import base64_input, call, infer_message, post_json, refusal
from score_requests import GOOD, post, table
from split_gateway import SECOND, SplitGateway, split_gateway
from vfnet_client.cli import main
from vfnet_gateway.traffic.split import read_traffic
from waiting import eventually

pytestmark = pytest.mark.served

HEADER = "azureml-model-deployment"
CLASSES = {"vfnet": "can", SECOND: "milk_bottle"}
BODY = {"input_data": table([GOOD])}


@pytest.fixture(scope="module")
def both(
    demo_repository: Path, demo_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SplitGateway]:
    with split_gateway(demo_repository, demo_checkpoint, tmp_path_factory.mktemp("split")) as running:
        yield running


@pytest.fixture(autouse=True)
def _no_split_is_left(both: SplitGateway) -> Iterator[None]:
    yield
    assert vfnet(both, "traffic", "--clear").returncode == 0
    assert both.comes_to_give("vfnet", 0)


def vfnet(both: SplitGateway, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """As the command line runs it, in this process: to start another takes longer than all that it does."""
    line = [command, f"--state={both.state}", *arguments]
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        code = main(line)
    return subprocess.CompletedProcess(line, code, out.getvalue(), err.getvalue())


def split(both: SplitGateway, *arguments: str) -> None:
    done = vfnet(both, "traffic", *arguments)
    assert done.returncode == 0, done.stderr
    percent = next(float(word.partition("=")[2]) for word in arguments if word.startswith("vfnet="))
    assert both.comes_to_give("vfnet", percent)


def asked(client: httpx.Client, **headers: str) -> str:
    """Who answered, by the header of the answer, and truly so."""
    reply = post(client, BODY, headers=headers)
    assert reply.status_code == 200, reply.text
    found = {box["label"] for box in reply.json()[0]["boxes"]}
    assert found == {CLASSES[reply.headers[HEADER]]}
    return reply.headers[HEADER]


def test_shares_are_kept(both: SplitGateway) -> None:
    split(both, "vfnet=70", f"{SECOND}=30")
    requests = 600
    with both.gateway.client() as client, ThreadPoolExecutor(4) as callers:
        found = Counter(callers.map(lambda _: asked(client), range(requests)))
    assert found[SECOND] / requests == pytest.approx(0.3, abs=4.9 * (0.3 * 0.7 / requests) ** 0.5)
    assert both.counted("deployment_requests_total", SECOND) == found[SECOND]
    assert both.counted("deployment_images_total", SECOND, ',outcome="answered"') == found[SECOND]
    assert both.counted("deployment_image_seconds_count", SECOND) == found[SECOND]
    assert both.counted("deployment_boxes_per_image_sum", SECOND) == 10 * found[SECOND]
    lines = [line for line in both.gateway.log_lines() if line.get("path") == "/score"]
    assert Counter(line["deployment"] for line in lines[-requests:]) == found


def test_a_caller_stays(both: SplitGateway) -> None:
    split(both, "vfnet=60", f"{SECOND}=40", "--sticky-header=X-User")
    with both.gateway.client() as client:
        first = {user: asked(client, **{"x-user": user}) for user in map(str, range(20))}
        assert {user: asked(client, **{"X-USER": user}) for user in first} == first
        split(both, "vfnet=30", f"{SECOND}=70", "--sticky-header=X-User")
        later = {user: asked(client, **{"x-user": user}) for user in first}
    assert set(first.values()) == {"vfnet", SECOND}
    assert all(later[user] == SECOND for user, name in first.items() if name == SECOND)


def test_the_header_chooses_over_every_protocol(both: SplitGateway) -> None:
    split(both, "vfnet=100", f"{SECOND}=0")
    document = {"inputs": [base64_input()], "outputs": [{"name": "LABELS"}]}
    with both.gateway.client() as client:
        for name, label in (("vfnet", 0), (SECOND, 2)):
            assert asked(client, **{HEADER: name}) == name
            reply = post_json(client, document, headers={"content-type": "application/json", HEADER: name})
            assert reply.headers[HEADER] == name
            assert [output["name"] for output in reply.json()["outputs"]] == ["LABELS"]
            assert set(reply.json()["outputs"][0]["data"]) == {label}
            answer = call(both.gateway, "ModelInfer", infer_message(outputs=("LABELS",)), metadata={HEADER: name})
            response = service_pb2.ModelInferResponse.FromString(answer)
            assert set(response.raw_output_contents[0]) == {label, 0}
            assert response.parameters["deployment"].string_param == name
        known = f"there are: vfnet, {SECOND}"
        reply = post(client, BODY, headers={HEADER: "blue"})
        assert (reply.status_code, known in reply.json()["message"]) == (404, True)
        reply = post_json(client, document, headers={"content-type": "application/json", HEADER: "blue"})
        assert (reply.status_code, known in reply.json()["error"]) == (404, True)
    code, words = refusal(both.gateway, "ModelInfer", infer_message(), metadata={HEADER: "blue"})
    assert (code, known in words) == ("NOT_FOUND", True)


def test_without_a_split_the_header_of_azures_snippets_means_nothing(both: SplitGateway) -> None:
    with both.gateway.client() as client:
        reply = post(client, BODY, headers={HEADER: "blue"})
    assert reply.status_code == 200
    assert HEADER not in reply.headers


def test_copies_are_compared(both: SplitGateway) -> None:
    before = both.counted("mirrored_images_total", SECOND, ',outcome="compared"')
    split(both, "vfnet=100", f"--mirror={SECOND}=100")
    with both.gateway.client() as client:
        assert {asked(client) for _ in range(5)} == {"vfnet"}
    compared = ',outcome="compared"'
    assert eventually(lambda: both.counted("mirrored_images_total", SECOND, compared) == before + 5)
    assert both.counted("agreement_boxes_total", SECOND, ',found="another_class"') >= 5 * 20
    assert both.counted("agreement_boxes_total", SECOND, ',found="both"') == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("vfnet=90", "blue=10"), f"does not serve blue; it serves {SECOND}, vfnet"),
        (("vfnet=90", f"{SECOND}=20"), "90 + 20 = 110 and have to make 100"),
        (("vfnet=50", "vfnet=50"), "named twice"),
        ((f"--mirror={SECOND}=5",), "need shares beside them"),
        (("vfnet=100", "--clear"), "--clear takes the split away"),
    ],
)
def test_what_cannot_be_is_refused(words: tuple[str, ...], told: str, both: SplitGateway) -> None:
    done = vfnet(both, "traffic", *words)
    assert done.returncode == 1
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert read_traffic(both.traffic_file) == {}


def test_what_is_in_force_is_printed(both: SplitGateway) -> None:
    assert "no split" in vfnet(both, "traffic").stdout
    split(both, "vfnet=99.5", f"{SECOND}=0.5")
    assert f'share = {{ "vfnet" = 99.5, "{SECOND}" = 0.5 }}' in vfnet(both, "traffic").stdout


@contextmanager
def callers(both: SplitGateway) -> Iterator[Counter[int]]:
    """Two callers, while in the context; what they were answered, by status."""
    ends, statuses = threading.Event(), Counter[int]()

    def ask() -> None:
        with both.gateway.client() as client:
            while not ends.is_set():
                statuses[post(client, BODY).status_code] += 1

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield statuses
    finally:
        ends.set()
        for thread in threads:
            thread.join()


def test_a_candidate_with_other_classes_is_taken_back_and_no_caller_notices(both: SplitGateway) -> None:
    with callers(both) as statuses:
        done = vfnet(both, "canary", SECOND, "--promote", "--for=60s")
    assert done.returncode == 1, done.stderr
    assert "are in the same place with another class" in done.stdout
    assert len(done.stdout.splitlines()) == 1
    assert read_traffic(both.traffic_file) == {}
    assert both.comes_to_give(SECOND, 0)
    assert set(statuses) == {200}


def test_a_candidate_within_its_limits_gets_all(both: SplitGateway) -> None:
    limits = ("--min-agreement=0", "--max-slowdown=1000", "--min-images=5", "--min-compared=5")
    with callers(both) as statuses:
        done = vfnet(both, "canary", SECOND, "--promote", "--for=3s", "--mirror=50", *limits)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{SECOND} now gets all requests for vfnet" in done.stdout
    assert read_traffic(both.traffic_file)["vfnet"].share == {SECOND: 100, "vfnet": 0}
    assert set(statuses) == {200}


def test_a_candidate_that_is_not_served_is_refused(both: SplitGateway) -> None:
    done = vfnet(both, "canary", "blue")
    assert (done.returncode, "does not serve blue" in done.stderr) == (1, True)


def splits(gateway: RunningGateway) -> bool:
    """Whether the process that takes a new connection has taken the split up."""
    with gateway.client() as client:
        return HEADER in post(client, BODY).headers


def test_several_processes_of_a_gateway_do_the_same(both: SplitGateway, tmp_path: Path) -> None:
    file = tmp_path / "traffic.toml"
    with running_gateway(both.server.grpc_url, tmp_path, "--workers=2", f"--traffic-file={file}") as gateway:
        several = SplitGateway(gateway, both.server, tmp_path)
        done = vfnet(both, "traffic", f"--file={file}", "vfnet=50", f"{SECOND}=50", "--sticky-header=X-User")
        assert done.returncode == 0, done.stderr
        assert several.comes_to_give(SECOND, 50)
        # Each process reads the file by itself, and connections go to either.
        assert eventually(lambda: all(splits(gateway) for _ in range(8)))
        before = several.counted("deployment_requests_total", SECOND)
        users = [str(number) for number in range(30)]
        with gateway.client() as client:
            first = {user: asked(client, **{"x-user": user}) for user in users}
        with gateway.client() as client:  # another connection, perhaps of the other process
            assert {user: asked(client, **{"x-user": user}) for user in users} == first
        counted = several.counted("deployment_requests_total", SECOND) - before
        assert counted == 2 * list(first.values()).count(SECOND)
        with callers(several) as statuses:
            assert vfnet(both, "traffic", f"--file={file}", "--clear").returncode == 0
            trial = ("canary", SECOND, f"--file={file}", f"--gateway={gateway.address}", "--mirror=50")
            done = vfnet(both, *trial)
        assert (done.returncode, "with another class" in done.stdout) == (1, True), done.stdout + done.stderr
        assert read_traffic(file) == {}
        assert set(statuses) == {200}

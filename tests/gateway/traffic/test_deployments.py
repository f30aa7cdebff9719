"""Which ensemble a request goes to while the traffic file changes, what is counted of it, and what is copied."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from vfnet_client.exceptions import (
    FatalImageError,
    InferenceError,
    InvalidImageError,
    InvalidOptionsError,
    RequestError,
    ServerBusyError,
    ServerUnavailableError,
    UnsupportedOptionsError,
)
from vfnet_client.retry_policy import Deadline, proof_picture
from vfnet_gateway.ensemble import Ensemble, fair_retries
from vfnet_gateway.settings import GatewaySettings
from vfnet_gateway.traffic.deployment_metrics import DeploymentMetrics
from vfnet_gateway.traffic.deployments import Deployments, Destination
from vfnet_gateway.traffic.split import TrafficSplit, change_split

HEADER = "azureml-model-deployment"
SERVED = {"vfnet", "vfnet.2", "vfnet.3", "other"}


def answer(label: str = "car") -> bytes:
    box = {"topX": 0.1, "topY": 0.1, "bottomX": 0.5, "bottomY": 0.5}
    return json.dumps({"boxes": [{"box": box, "label": label, "score": 0.75}]}).encode()


class StubTriton:
    """A transport for one model; `wait` holds its answers."""

    def __init__(self, name: str, world: World) -> None:
        self.name, self.world = name, world
        self.is_closed = False

    async def infer(self, image: bytes, *, priority: int = 0, **_others: Any) -> dict[str, Any]:
        if image == proof_picture():  # by which it proves that it is ready
            return {"DETECTIONS": [answer()]}
        self.world.asked.append((self.name, image, priority))
        await self.world.hold.wait()
        result = self.world.answers.get(self.name, answer())
        if isinstance(result, Exception):
            raise result
        return {"DETECTIONS": [result]}

    async def is_ready(self, **_others: Any) -> bool:
        return self.name in self.world.served

    async def close(self) -> None:
        self.is_closed = True


class World:
    """A gateway's deployments in front of stubs."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.file = folder / "traffic.toml"
        self.settings = GatewaySettings(server="grpc://127.0.0.1:8001", traffic_file=self.file, **settings)
        self.served = set(SERVED)
        self.answers = dict[str, bytes | Exception]()
        self.asked = list[tuple[str, bytes, int]]()
        self.hold = asyncio.Event()
        self.hold.set()
        self.log = list[tuple[str, str]]()
        self.registry = CollectorRegistry()
        self.transports = dict[str, StubTriton]()
        retries = fair_retries()

        def open_ensemble(name: str) -> Ensemble:
            self.transports[name] = StubTriton(name, self)
            return Ensemble(self.settings, self.transports[name], retries)

        self.metrics = DeploymentMetrics(self.registry)
        self.deployments = Deployments(self.settings, open_ensemble, self.metrics, lambda *line: self.log.append(line))

    async def split(self, share: dict[str, float], mirror: dict[str, float] | None = None, **more: Any) -> None:
        change_split(self.file, more.pop("model", "vfnet"), TrafficSplit(share, mirror or {}, **more))
        await self.look()

    async def look(self) -> None:
        await self.deployments._look(self.file)

    async def detect(self, destination: Destination, image: bytes = b"image") -> dict[str, Any]:
        async with destination.of_a_request().place() as place:
            return await destination.infer(place, image, Deadline.after(5))

    def metric(self, name: str, **labels: str) -> float | None:
        self.metrics.refresh()
        return self.registry.get_sample_value(f"vfnet_gateway_{name}", labels)


def run(tmp_path: Path, scenario: Callable[[World], Coroutine[Any, Any, None]], **settings: Any) -> None:
    async def main() -> None:
        world = World(tmp_path, **settings)
        await world.deployments.start()
        try:
            await scenario(world)
        finally:
            world.hold.set()
            await world.deployments.stop(1)
        assert all(transport.is_closed for transport in world.transports.values())

    asyncio.run(main())


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_without_a_file_all_goes_to_the_model_and_nothing_is_counted(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        for headers in ({}, {HEADER: "blue"}):  # as AzureML's snippets have it, where there is one deployment
            destination = world.deployments.choose(headers)
            assert destination.deployment is None
            await world.detect(destination)
        assert [name for name, _, _ in world.asked] == ["vfnet"] * 2
        assert world.metric("deployment_requests_total", deployment="vfnet") is None
        assert world.log == []

    run(tmp_path, scenario)


def test_a_file_is_put_into_force_when_it_changes(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.split({"vfnet": 50.0, "vfnet.2": 50.0})
        found = Counter(world.deployments.choose({}).deployment for _ in range(400))
        assert set(found) == {"vfnet", "vfnet.2"}
        assert world.metric("deployment_requests_total", deployment="vfnet.2") == found["vfnet.2"]
        assert world.metric("traffic_percent", model="vfnet", deployment="vfnet.2") == 50
        await world.split({"vfnet.2": 100.0})
        assert {world.deployments.choose({}).deployment for _ in range(100)} == {"vfnet.2"}
        assert world.metric("traffic_percent", model="vfnet", deployment="vfnet") is None
        world.file.unlink()
        await world.look()
        assert world.deployments.choose({}).deployment is None
        assert [message for _, message in world.log] == [
            "traffic of vfnet: vfnet 50 %, vfnet.2 50 %",
            "traffic of vfnet: vfnet.2 100 %",
            "traffic of vfnet: all its own",
        ]

    run(tmp_path, scenario)


@pytest.mark.parametrize("text", ["[vfnet", "[vfnet]\nshare = { a = 3 }", "[b]\nshare = { b = 100 }", "\xff"])
def test_a_file_that_is_none_leaves_all_as_it_was_and_is_told_once(text: str, tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.split({"vfnet.2": 100.0})
        world.file.write_text(text, encoding="latin-1")
        for _ in range(3):
            await world.look()
        assert world.deployments.choose({}).deployment == "vfnet.2"
        assert [level for level, _ in world.log] == ["INFO", "ERROR"]
        assert "the traffic stays as it was" in world.log[-1][1]

    run(tmp_path, scenario)


def test_who_is_not_served_yet_gets_nothing_until_it_is(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.served.discard("vfnet.2")
        for _ in range(2):
            await world.split({"vfnet": 10.0, "vfnet.2": 90.0})
        assert {world.deployments.choose({}).deployment for _ in range(100)} == {None}
        assert [level for level, _ in world.log] == ["WARNING"]
        assert "vfnet.2, which Triton does not serve" in world.log[0][1]
        world.served.add("vfnet.2")
        await asyncio.sleep(0.6)  # Triton is asked twice a second at most
        await world.look()
        assert {world.deployments.choose({}).deployment for _ in range(100)} == {"vfnet", "vfnet.2"}

    run(tmp_path, scenario)


def test_a_caller_stays_while_another_deployment_grows(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        callers = [f"user-{number}" for number in range(500)]

        def placed() -> dict[str, str | None]:
            return {user: world.deployments.choose({"x-user": user}).deployment for user in callers}

        await world.split({"vfnet": 90.0, "vfnet.2": 10.0}, sticky_header="x-user")
        first = placed()
        assert placed() == first
        await world.split({"vfnet": 70.0, "vfnet.2": 30.0}, sticky_header="x-user")
        assert all(now == "vfnet.2" for user, now in placed().items() if first[user] == "vfnet.2")
        assert {world.deployments.choose({}).deployment for _ in range(200)} == {"vfnet", "vfnet.2"}

    run(tmp_path, scenario)


def test_the_header_chooses_and_an_unknown_name_is_told_what_there_is(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.split({"vfnet": 100.0, "vfnet.2": 0.0}, {"vfnet.3": 5.0})
        for name in ("vfnet", "vfnet.2", "vfnet.3", "other"):
            assert world.deployments.choose({HEADER: name}).deployment == name
        assert world.deployments.choose({HEADER: "vfnet.2"}, "vfnet").deployment == "vfnet.2"
        assert world.deployments.choose({}, "other").deployment == "other"
        for name, model, known in (
            ("blue", None, "vfnet, other, vfnet.2, vfnet.3"),
            ("other", "vfnet", "vfnet.2, vfnet.3"),
        ):
            with pytest.raises(RequestError) as raised:
                world.deployments.choose({HEADER: name}, model)
            assert raised.value.status == 404
            assert str(raised.value).endswith(f"there are: {known}" if model is None else known)

    run(tmp_path, scenario, models=("vfnet", "other"))


@pytest.mark.parametrize(
    ("result", "outcome"),
    [
        (answer(), "answered"),
        (InvalidImageError("broken"), "unreadable"),
        (FatalImageError("kills"), "failed"),
        (InferenceError("failed"), "failed"),
        (ServerBusyError("full"), "busy"),
    ],
)
def test_what_becomes_of_an_image_is_counted(result: bytes | Exception, outcome: str, tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.answers["vfnet.2"] = result
        await world.split({"vfnet.2": 100.0})
        await asyncio.gather(world.detect(world.deployments.choose({})), return_exceptions=True)
        for each in ("answered", "unreadable", "failed", "busy"):
            found = world.metric("deployment_images_total", deployment="vfnet.2", outcome=each)
            assert found == (each == outcome), each
        is_answered = outcome == "answered"
        assert world.metric("deployment_image_seconds_count", deployment="vfnet.2") == is_answered
        assert world.metric("deployment_boxes_total", deployment="vfnet.2", score_from="0.7") == is_answered
        assert world.metric("deployment_boxes_per_image_sum", deployment="vfnet.2") == is_answered

    run(tmp_path, scenario)


@pytest.mark.parametrize("error", [ServerUnavailableError("unknown model"), InferenceError("failed")])
def test_what_a_new_one_cannot_answer_the_live_one_does(error: Exception, tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.split({"vfnet": 0.0, "vfnet.2": 100.0})
        world.answers["vfnet.2"] = error
        assert (await world.detect(world.deployments.choose({})))["DETECTIONS"] == [answer()]
        assert world.asked[-1][0] == "vfnet"
        assert world.metric("deployment_images_total", deployment="vfnet.2", outcome="failed") == 1
        assert world.metric("deployment_images_total", deployment="vfnet", outcome="answered") == 0

    run(tmp_path, scenario)


def test_what_one_is_too_old_to_be_asked_for_the_live_one_answers(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.split({"vfnet": 0.0, "vfnet.2": 100.0})
        world.answers["vfnet.2"] = UnsupportedOptionsError("NMS_IOU: the model there was built before")
        assert (await world.detect(world.deployments.choose({})))["DETECTIONS"] == [answer()]
        world.answers["vfnet.2"] = InvalidOptionsError("CLASSES has 'cam', which is no class of this model")
        with pytest.raises(InvalidOptionsError):
            await world.detect(world.deployments.choose({}))
        for outcome in ("failed", "unreadable"):  # it is judged by neither
            assert world.metric("deployment_images_total", deployment="vfnet.2", outcome=outcome) == 0

    run(tmp_path, scenario)


def test_who_names_a_deployment_gets_its_own_errors(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.split({"vfnet": 90.0, "vfnet.2": 10.0})
        world.answers["vfnet.2"] = InferenceError("failed")
        with pytest.raises(InferenceError):
            await world.detect(world.deployments.choose({HEADER: "vfnet.2"}))

    run(tmp_path, scenario)


def test_copies_are_compared_at_low_priority_and_waited_for_by_nobody(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.answers["vfnet.2"] = answer("bus")
        await world.split({"vfnet": 100.0}, {"vfnet.2": 100.0})
        await world.detect(world.deployments.choose({}))
        assert world.asked == [("vfnet", b"image", 1)]
        await settle()
        assert world.asked[1:] == [("vfnet.2", b"image", 2)]
        assert world.metric("mirrored_images_total", deployment="vfnet.2", outcome="compared") == 1
        assert world.metric("agreement_boxes_total", deployment="vfnet.2", found="another_class") == 2
        assert world.metric("deployment_images_total", deployment="vfnet.2", outcome="answered") == 0
        await world.detect(world.deployments.choose({HEADER: "vfnet"}))  # somebody tries that one
        await settle()
        assert len(world.asked) == 3

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    ("error", "outcome"), [(InferenceError("failed"), "failed"), (ServerBusyError("full"), "dropped")]
)
def test_a_copy_is_tried_once(error: Exception, outcome: str, tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.answers["vfnet.2"] = error
        await world.split({"vfnet": 100.0}, {"vfnet.2": 100.0})
        await world.detect(world.deployments.choose({}))
        await settle()
        assert len(world.asked) == 2
        assert world.metric("mirrored_images_total", deployment="vfnet.2", outcome=outcome) == 1

    run(tmp_path, scenario)


def test_copies_are_dropped_first_and_take_no_places(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.split({"vfnet": 100.0}, {"vfnet.2": 100.0})
        for _ in range(5):
            await world.detect(world.deployments.choose({}))
            world.hold.clear()  # from the second on, copies wait in Triton
            await settle()
            world.hold.set()
        world.hold.clear()
        images = [asyncio.create_task(world.detect(world.deployments.choose({}))) for _ in range(4)]
        await settle()
        sent = len(world.asked)
        world.hold.set()
        await asyncio.gather(*images)
        await settle()
        # Four were in the ensemble, where three is the room: whichever came first found none for its copy.
        dropped = world.metric("mirrored_images_total", deployment="vfnet.2", outcome="dropped")
        assert dropped is not None
        assert dropped >= 1
        assert len(world.asked) < sent + 4
        assert world.deployments.in_flight == 0

    run(tmp_path, scenario, mirror_room=3)


def test_a_small_share_holds_few_places_and_leaves_the_others_alone(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.split({"vfnet": 90.0, "vfnet.2": 10.0})
        world.hold.clear()  # the new one hangs, and is asked far too much
        new, live = world.deployments.choose({HEADER: "vfnet.2"}), world.deployments.choose({HEADER: "vfnet"})
        stuck = [asyncio.create_task(world.detect(new)) for _ in range(30)]
        await settle()
        assert new.ensemble.in_flight == 4
        assert world.metric("deployment_images_in_flight", deployment="vfnet.2") == 4
        served = [asyncio.create_task(world.detect(live)) for _ in range(16)]
        await settle()
        assert live.ensemble.in_flight == 16
        await world.split({"vfnet": 50.0, "vfnet.2": 50.0})
        await settle()
        assert new.ensemble.in_flight == 8  # half of the places for half of the requests
        world.hold.set()
        await asyncio.gather(*stuck, *served)

    run(tmp_path, scenario)


def test_one_that_is_named_no_more_is_closed_later_and_can_come_back(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.split({"vfnet": 50.0, "vfnet.2": 50.0})
        first = world.transports["vfnet.2"]
        await world.split({"vfnet": 100.0})
        await world.split({"vfnet": 50.0, "vfnet.2": 50.0})
        assert world.transports["vfnet.2"] is first  # it had not been closed yet
        await world.split({"vfnet": 100.0})
        await asyncio.sleep(0.2)
        assert first.is_closed
        await world.split({"vfnet.2": 100.0})
        assert world.transports["vfnet.2"] is not first
        await world.detect(world.deployments.choose({}))

    run(tmp_path, scenario, timeout=0.02, body_timeout=0.02)


def test_readiness_is_that_of_the_largest_share(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.split({"vfnet": 10.0, "vfnet.2": 90.0})
        world.served = {"vfnet.2"}
        assert await world.deployments.is_ready()
        await world.split({"vfnet": 90.0, "vfnet.2": 10.0})
        assert not await world.deployments.is_ready("vfnet")

    run(tmp_path, scenario)

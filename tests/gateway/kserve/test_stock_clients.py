"""Clients that know nothing of this gateway: Triton's, gRPC's own, curl, and ours, whose answers are Triton's."""

from __future__ import annotations

import asyncio
import json
import queue
import subprocess
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio
from tritonclient.utils import InferenceServerException

from gateway_process import RunningGateway
from kserve_requests import STRIP, base64_input, call, infer_message, threshold_input
from score_requests import GOOD, score
from served_inference import EVERY_OUTPUT, OPTION_TYPES, infer
from triton_server import ServedRepository
from vfnet_client.client import VFNetClient
from vfnet_gateway.swagger import description

pytestmark = pytest.mark.served


def address(gateway: RunningGateway, protocol: str) -> str:
    return gateway.grpc_authority if protocol == "grpc" else gateway.address.partition("//")[2]


def triton_client(gateway: RunningGateway, protocol: str) -> Any:
    return getattr(tritonclient, protocol).InferenceServerClient(address(gateway, protocol))


def inputs(module: Any, image: bytes = STRIP, **options: Any) -> list[Any]:
    tensor = module.InferInput("IMAGE", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([image], np.object_), **options)
    return [tensor]


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_tritons_client_gets_what_triton_answers(
    protocol: str, gateway: RunningGateway, quick_server: ServedRepository
) -> None:
    module, client = getattr(tritonclient, protocol), triton_client(gateway, protocol)
    direct = infer(quick_server, STRIP, EVERY_OUTPUT, score_threshold=0.6)
    threshold = module.InferInput("SCORE_THRESHOLD", [1], "FP32")
    threshold.set_data_from_numpy(np.array([0.6], np.float32))
    given = [*inputs(module), threshold]
    for outputs in (None, [module.InferRequestedOutput(name) for name in EVERY_OUTPUT]):
        result = client.infer("vfnet", given, outputs=outputs, request_id="mine", priority=2, timeout=20_000_000)
        for name in EVERY_OUTPUT:
            assert result.as_numpy(name).dtype == direct[name].dtype
            assert result.as_numpy(name).tolist() == direct[name].tolist()
        response = result.get_response() if protocol == "http" else result.get_response(as_json=True)
        assert response["id"] == "mine"
    some = client.infer("vfnet", given, "1", outputs=[module.InferRequestedOutput("SCORES")])
    assert some.as_numpy("SCORES").tolist() == direct["SCORES"].tolist()
    assert some.as_numpy("BOXES") is None


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_tritons_client_learns_what_there_is_and_nothing_of_its_parts(protocol: str, gateway: RunningGateway) -> None:
    client = triton_client(gateway, protocol)
    as_json = {} if protocol == "http" else {"as_json": True}
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("vfnet")
    assert client.is_model_ready("vfnet", "1")
    assert client.get_server_metadata(**as_json)["name"] == "vfnet"
    metadata = client.get_model_metadata("vfnet", **as_json)
    assert [tensor["name"] for tensor in metadata["inputs"]] == ["IMAGE", *(name.upper() for name in OPTION_TYPES)]
    assert [tensor["name"] for tensor in metadata["outputs"]] == list(EVERY_OUTPUT)
    config = client.get_model_config("vfnet", **as_json)
    statistics = client.get_inference_statistics("vfnet", **as_json)
    assert int(statistics["model_stats"][0]["inference_count"]) > 0
    assert client.get_inference_statistics(**as_json)["model_stats"][0]["name"] == "vfnet"
    told = json.dumps([metadata, config, statistics])
    assert "ensemble" not in told
    assert "preprocess" not in told
    for step in ("vfnet_preprocess", "vfnet_detector", "vfnet_postprocess", "other"):
        for ask in (client.get_model_metadata, client.get_model_config, client.get_inference_statistics):
            with pytest.raises(InferenceServerException, match=f"there is no model '{step}' here"):
                ask(step)
    with pytest.raises(InferenceServerException, match="no version '2'"):
        client.get_model_metadata("vfnet", "2")


def test_the_description_names_every_output() -> None:
    outputs = json.loads(description("3.1"))["components"]["schemas"]["KServeRequest"]["properties"]["outputs"]
    assert outputs["items"]["properties"]["name"]["enum"] == list(EVERY_OUTPUT)
    assert outputs["maxItems"] == len(EVERY_OUTPUT)


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_tritons_asynchronous_client_too(protocol: str, gateway: RunningGateway) -> None:
    module = getattr(tritonclient, protocol)

    async def ask() -> tuple[bool, list[Any]]:
        async with module.aio.InferenceServerClient(address(gateway, protocol)) as client:
            ready = await client.is_model_ready("vfnet")
            return ready, await asyncio.gather(*(client.infer("vfnet", inputs(module)) for _ in range(5)))

    ready, results = asyncio.run(ask())
    assert ready
    assert len({result.as_numpy("DETECTIONS")[0] for result in results}) == 1


def test_tritons_stream(gateway: RunningGateway) -> None:
    client, answers = triton_client(gateway, "grpc"), queue.Queue[Any]()
    client.start_stream(lambda result, error: answers.put((result, error)))
    for image, name in ((STRIP, "a"), (b"no image", "b"), (STRIP, "c")):
        client.async_stream_infer("vfnet", inputs(tritonclient.grpc, image), request_id=name)
    first, second, third = (answers.get(timeout=20) for _ in range(3))
    client.stop_stream()
    assert (first[0].get_response().id, third[0].get_response().id) == ("a", "c")
    assert "image" in str(second[1])  # and the stream went on


def test_parameters_that_other_clients_always_send_are_understood(gateway: RunningGateway) -> None:
    """KServe's client says over gRPC what belongs to REST, perf_analyzer whether it wants an empty last answer."""
    message = infer_message()
    message.inputs[0].parameters["binary_data_size"].int64_param = len(message.raw_input_contents[0])
    message.parameters["triton_enable_empty_final_response"].bool_param = True
    assert call(gateway, "ModelInfer", message) == call(gateway, "ModelInfer", infer_message())
    message.inputs[0].parameters["binary_data_size"].int64_param = 1
    with pytest.raises(grpc.RpcError, match="binary_data_size"):
        call(gateway, "ModelInfer", message)


def test_values_may_stand_in_the_message_itself(gateway: RunningGateway) -> None:
    """`contents` in place of `raw_input_contents`."""
    from tritonclient.grpc import service_pb2

    message = service_pb2.ModelInferRequest(model_name="vfnet")
    message.inputs.add(name="IMAGE", datatype="BYTES", shape=[1]).contents.bytes_contents.append(STRIP)
    message.inputs.add(name="SCORE_THRESHOLD", datatype="FP32", shape=[1]).contents.fp32_contents.append(0.6)
    response = service_pb2.ModelInferResponse.FromString(call(gateway, "ModelInfer", message))
    assert [output.name for output in response.outputs] == list(EVERY_OUTPUT)


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_our_own_client_is_served_there_as_by_triton(
    protocol: str, gateway: RunningGateway, quick_server: ServedRepository
) -> None:
    with (
        VFNetClient(f"{protocol}://{address(gateway, protocol)}") as client,
        VFNetClient(quick_server.grpc_url) as ours,
    ):
        assert client.detect(STRIP) == ours.detect(STRIP)


def test_curl_needs_no_more_than_base64(gateway: RunningGateway, tmp_path: Path) -> None:
    body = tmp_path / "body.json"
    body.write_text(json.dumps({"inputs": [base64_input(), threshold_input()], "outputs": [{"name": "DETECTIONS"}]}))
    command = ["curl", "--silent", "--fail", "--header", "content-type: application/json", "--data-binary", f"@{body}"]
    done = subprocess.run(
        [*command, f"{gateway.address}/v2/models/vfnet/infer"], capture_output=True, check=True, timeout=60
    )
    (output,) = json.loads(done.stdout)["outputs"]
    assert output["shape"] == [1]
    with gateway.client() as client:
        scored = score(client, [GOOD], params={"box_score_threshold": 0.5}).json()
    assert [json.loads(output["data"][0])] == scored


def test_the_standard_health_service(gateway: RunningGateway) -> None:
    serving = b"\x08\x01"
    for name in (b"", b"\x0a\x05vfnet", b"\x0a\x1einference.GRPCInferenceService"):
        assert call(gateway, "/grpc.health.v1.Health/Check", name) == serving
    with pytest.raises(grpc.RpcError) as raised:
        call(gateway, "/grpc.health.v1.Health/Check", b"\x0a\x05other")
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND

"""Callers that ask without a pause and without trying again while something is done to a model."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import tritonclient.grpc

from score_requests import GOOD, post, table


class Callers:
    """Ask without a pause and without trying again; each answer with when it was asked for and when it came."""

    def __init__(self) -> None:
        self.answers: list[tuple[float, float, str]] = []
        self.failures: list[str] = []
        self.stop = threading.Event()

    def keep_asking_triton(self, port: int, image: bytes) -> None:
        client = tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{port}")
        tensor = tritonclient.grpc.InferInput("IMAGE", [1], "BYTES")
        tensor.set_data_from_numpy(np.array([image], np.object_))
        wanted = [tritonclient.grpc.InferRequestedOutput("DETECTIONS")]
        while not self.stop.is_set():
            asked = time.monotonic()
            try:
                found = client.infer("vfnet", [tensor], outputs=wanted).as_numpy("DETECTIONS")[0]
                self.answers.append((asked, time.monotonic(), found.decode()))
            except Exception as error:
                self.failures.append(str(error))
        client.close()

    def keep_asking_the_gateway(self, client: Any) -> None:
        with client:
            while not self.stop.is_set():
                asked = time.monotonic()
                reply = post(client, {"input_data": table([GOOD])})
                if reply.status_code == 200:
                    self.answers.append((asked, time.monotonic(), json.dumps(reply.json()[0])))
                else:
                    self.failures.append(reply.text)


@contextmanager
def callers(grpc_port: int, image: bytes, gateway_client: Callable[[], Any]) -> Iterator[Callers]:
    """Four over gRPC, two at `/score`."""
    asking = Callers()
    threads = [threading.Thread(target=asking.keep_asking_triton, args=(grpc_port, image)) for _ in range(4)]
    threads += [threading.Thread(target=asking.keep_asking_the_gateway, args=(gateway_client(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield asking
    finally:
        asking.stop.set()
        for thread in threads:
            thread.join(60)


def canonical(text: str) -> str:
    """The same for documents that say the same."""
    return json.dumps(json.loads(text), sort_keys=True)

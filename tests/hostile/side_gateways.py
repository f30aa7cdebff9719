"""Two more gateways in front of the same Triton: one with keys, and one that may fetch images from a site of ours."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from attack import Reply
from deployment import Deployment
from gateway_process import RunningGateway, running_gateway
from image_site import HOST, image_site
from reference_answers import NoAnswerError, Reference, ask_score

KEYS_FILE = """\
# keys of this test
plain-key-of-the-test
key-with-#-in-it
  key-with-blanks-around   
#commented-out-key
"""  # noqa: W291
KEY = "plain-key-of-the-test"
LONGEST_WAIT_S = 4.0


@dataclass(frozen=True)
class SideGateways:
    """What runs beside the deployment."""

    locked: RunningGateway
    """Asks for keys."""
    fetching: RunningGateway
    """Has no keys and may fetch from `HOST`."""
    site_port: int
    reference: Reference

    def while_another_asks(self, send: Callable[[], Reply]) -> Reply:
        """What `send` gives, unless an honest caller of the fetching gateway waited too long or was refused."""
        stop, longest, wrong = threading.Event(), [0.0], [""]

        def ask() -> None:
            while not stop.is_set():
                started = time.monotonic()
                try:
                    ask_score(self.fetching.port, self.reference.score_body, 60)
                except (NoAnswerError, OSError) as error:
                    wrong[0] = str(error)
                longest[0] = max(longest[0], time.monotonic() - started)
                stop.wait(0.1)

        other = threading.Thread(target=ask, daemon=True)
        other.start()
        try:
            reply = send()
        finally:
            stop.set()
            other.join(60)
        if self.fetching.process.poll() is not None:
            return Reply("the gateway died")
        if wrong[0]:
            return Reply("others refused", wrong[0])
        if longest[0] > LONGEST_WAIT_S:
            return Reply("others waited", f"{longest[0]:.1f} s; {reply}")
        return reply


@contextmanager
def side_gateways(deployment: Deployment, reference: Reference, folder: Path) -> Iterator[SideGateways]:
    """Both, and the site, while in the context."""
    server = f"grpc://127.0.0.1:{deployment.grpc_port}"
    keys = folder / "keys"
    keys.write_text(KEYS_FILE)
    folders = [folder / name for name in ("locked", "fetching")]
    for each in folders:
        each.mkdir()
    environment = deployment.guard | {"VFNET_GATEWAY_KEYS": "key-of-the-environment,, another-one"}
    with (
        image_site() as port,
        running_gateway(
            server, folders[0], f"--keys-file={keys}", "--protect-metrics", environment=environment
        ) as locked,
        running_gateway(server, folders[1], f"--allow-urls-to={HOST}", environment=deployment.guard) as fetching,
    ):
        yield SideGateways(locked, fetching, port, reference)

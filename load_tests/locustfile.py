"""Load tests: `locust -f load_tests/locustfile.py`, with its page, or `--headless`; see docs/load-tests.md.

Three kinds of users; name those you want on the command line, such as `GRPCUser`.
"""

from typing import Any

from locust import events

from vfnet_load.load_shape import LoadShape
from vfnet_load.options import add_arguments
from vfnet_load.run import keep_runs
from vfnet_load.users import GRPCUser, ScoreUser, TritonHTTPUser

__all__ = ["GRPCUser", "LoadShape", "ScoreUser", "TritonHTTPUser"]


@events.init_command_line_parser.add_listener
def _add_arguments(parser: Any) -> None:
    add_arguments(parser)


@events.init.add_listener
def _keep_runs(environment: Any, **_: Any) -> None:
    keep_runs(environment)

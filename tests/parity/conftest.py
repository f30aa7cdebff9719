"""The table of what was compared, printed at the end."""

from __future__ import annotations

import pytest

from parity_table import ParityTable

_TABLE = pytest.StashKey[ParityTable]()


@pytest.fixture(scope="session")
def parity_table(pytestconfig: pytest.Config) -> ParityTable:
    return pytestconfig.stash.setdefault(_TABLE, ParityTable())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    table = config.stash.get(_TABLE, ParityTable())
    if table.rows:
        terminalreporter.section("served detections against mmdet's")
        terminalreporter.write_line(str(table))

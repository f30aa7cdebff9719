"""The table of what was compared, printed at the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from parity_table import ParityTable


@pytest.fixture(scope="session")
def parity_table(pytestconfig: pytest.Config) -> Iterator[ParityTable]:
    table = ParityTable()
    yield table
    reporter = pytestconfig.pluginmanager.get_plugin("terminalreporter")
    if table.rows and reporter is not None:
        reporter.ensure_newline()
        reporter.write_line(str(table))

"""A plugin of pytest: the tests that failed, one a line, in the file that MUTANTS_FAILURES names."""

import os
from pathlib import Path

import pytest

VARIABLE = "MUTANTS_FAILURES"


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    note(report)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    note(report)


def note(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.failed:
        with Path(os.environ[VARIABLE]).open("a", encoding="utf-8") as file:
            file.write(f"{report.nodeid}\n")

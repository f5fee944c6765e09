"""Rules for all tests."""

import os

import pytest
from browser import browser, page  # noqa: F401

REQUIRE_BROWSER = "BERTSTUDY_REQUIRE_BROWSER"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """Where a browser is promised, as in CI, a skipped browser test is a failed one."""
    report = yield
    promised = os.environ.get(REQUIRE_BROWSER) == "1"
    if report.skipped and promised and item.get_closest_marker("browser"):
        report.outcome = "failed"
        report.longrepr = f"skipped although {REQUIRE_BROWSER}=1: {report.longrepr}"
    return report

"""What holds for every test: in CI, where everything is installed, a skip for want of a package fails."""

import os
import re
import signal

import pytest

# A shell that starts this run in the background makes it ignore Ctrl-C, and every process that it starts too; the tests
# of Ctrl-C need what a terminal has.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

IN_CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")
WANTING = re.compile(
    r"could not import|cannot import|no module named|not installed|not importable|unavailable|not available|missing"
    r"|\b(timm|torchvision|effdet|efficientnet_pytorch|efficientnet_lite_pytorch|pycocotools|mlxtend|peers?)\b",
    re.IGNORECASE,
)


def skipped_for_want_of_a_package(reason):
    """Whether the reason of a skip says that something which `make test` installs is not there."""
    return WANTING.search(reason) is not None


def _failed_instead(report):
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if IN_CI and report.skipped and not hasattr(report, "wasxfail") and skipped_for_want_of_a_package(reason):
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing may be missing (CI is set): {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    return _failed_instead((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
    return _failed_instead((yield))

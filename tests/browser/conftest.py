"""Chromium, started once for a file of tests, and the report that the code here renders from the committed results."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from rendered import report_folder, run_report

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
ARGUMENTS = [
    "--no-sandbox",  # the tests may run as root; the pages are our own files
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


expect.set_options(timeout=30_000)  # milliseconds; plots are drawn late on a busy machine


def browser_path() -> str | None:
    """$CHROMIUM, or the first browser on PATH."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@pytest.fixture(scope="module")  # playwright's event loop ends with it: other tests of this process want their own
def browser() -> Iterator[Browser]:
    path = browser_path()
    if path is None:
        reason = f"no browser: none of {', '.join(NAMES)} is on PATH, and CHROMIUM names none"
        if "CI" in os.environ:
            pytest.fail(f"{reason}; .ci/run installs one")
        pytest.skip(reason)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """reports/report.html of the default profile, beside copies of the committed files that it links to."""
    return run_report(report_folder(tmp_path_factory.mktemp("report")))


@pytest.fixture(scope="module")
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens a file in a context of its own; options as of `Browser.new_context`.

    What the page does is kept beside it, from before its first byte: `events` holds console errors, exceptions,
    dialogs and new windows; `requests` the addresses asked for.
    """
    contexts = []

    def opened(path: Path, **options: object) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.events, page.requests = [], []
        page.on("console", lambda message: message.type == "error" and page.events.append(message.text))
        page.on("pageerror", lambda error: page.events.append(str(error)))
        page.on("dialog", lambda dialog: (page.events.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("popup", lambda window: page.events.append(f"window {window.url}"))
        page.on("request", lambda request: page.requests.append(request.url))
        page.goto(path.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()

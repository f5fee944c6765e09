"""A headless Chromium for tests of pages: records requests and errors, serves a folder.

`conftest.py` makes the fixtures known to every test: one Chromium serves them all.
"""

import functools
import http.server
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

LOCAL = ("data", "blob", "about")


@dataclass
class Watched:
    """A page, every request it made, and every error it reported."""

    page: Any
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def foreign(self, origin: str) -> list[str]:
        """Requests that left ``origin`` ("file://" or "http://host:port"), data URLs aside."""
        return [
            url
            for url in self.requests
            if urlsplit(url).scheme not in LOCAL and not url.startswith(origin)
        ]

    def assert_quiet(self, origin: str) -> None:
        """Fail unless the page stayed on its origin and reported no error."""
        assert self.foreign(origin) == []
        assert self.errors == []


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """One Chromium for all tests; skips with a reason where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    executable = os.environ.get("BERTSTUDY_CHROMIUM") or shutil.which("chromium")
    if not executable:
        pytest.skip("no browser: install chromium or set BERTSTUDY_CHROMIUM to its path")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Watched]:
    """A fresh page in its own context, 1000 pixels wide."""
    context = browser.new_context(viewport={"width": 1000, "height": 900})
    watched = Watched(context.new_page())
    watched.page.on("request", lambda request: watched.requests.append(request.url))
    watched.page.on("pageerror", lambda error: watched.errors.append(str(error)))
    watched.page.on("requestfailed", lambda request: watched.errors.append(request.url))
    watched.page.on(
        "console",
        lambda message: message.type == "error" and watched.errors.append(message.text),
    )
    yield watched
    context.close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder under a prefix, and nothing above it, without a log."""

    def __init__(self, *args: Any, prefix: str, **kwargs: Any) -> None:
        self.prefix = prefix
        super().__init__(*args, **kwargs)

    def translate_path(self, path: str) -> str:
        if not path.startswith(self.prefix):
            return os.devnull + "/absent"
        return super().translate_path("/" + path.removeprefix(self.prefix))

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def served(folder: Path, prefix: str = "/a/sub/path/") -> Iterator[str]:
    """Serve ``folder`` on 127.0.0.1 below ``prefix``; gives the address of the folder."""
    handler = functools.partial(_Quiet, directory=str(folder), prefix=prefix)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}{prefix}"
        finally:
            server.shutdown()
            thread.join()

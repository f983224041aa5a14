"""A browser that takes nothing lightly: what it complains of, or asks of another host, fails the test."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

LAPTOP, PHONE = ViewportSize(width=1280, height=800), ViewportSize(width=390, height=844)


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """One Chromium for a file of tests."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def opened(browser: Browser) -> Callable[..., AbstractContextManager[Page]]:
    """A new window at an address, held against its complaints when it is closed; but for those that hold a text of
    `allowed`.
    """

    @contextmanager
    def make(
        address: httpx.URL, size: ViewportSize = LAPTOP, *, dark: bool = False, allowed: Sequence[str] = ()
    ) -> Iterator[Page]:
        scheme = "dark" if dark else "light"
        context = browser.new_context(base_url=str(address), viewport=size, color_scheme=scheme)
        page, complaints, hosts = context.new_page(), list[str](), set[str]()
        page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("requestfailed", lambda request: complaints.append(f"failed: {request.url}"))
        page.on("request", lambda request: hosts.add(urlsplit(request.url).hostname or ""))
        try:
            yield page
        finally:
            context.close()
        assert [line for line in complaints if not any(text in line for text in allowed)] == []
        assert hosts <= {"127.0.0.1", ""}

    return make


@pytest.fixture
def tokens_only(crowdrun_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service as it is without its operator's word: nobody is known without a token."""
    monkeypatch.setenv("CROWDRUN_TRUST_LOCAL", "none")


@pytest.fixture(params=[(LAPTOP, False), (PHONE, True)], ids=["laptop, light", "phone, dark"])
def page(
    request: pytest.FixtureRequest, opened: Callable[..., AbstractContextManager[Page]], service: httpx.Client
) -> Iterator[Page]:
    """A window on the service, at two sizes."""
    size, dark = request.param
    with opened(service.base_url, size, dark=dark) as window:
        yield window

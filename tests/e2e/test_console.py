"""The console of the running stack while PostgreSQL is killed, in a real browser."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.browser.chromium import ARGUMENTS, chromium
from tests.e2e.shop import Shop, until
from tests.fixtures.stack import RunningStack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

DEPENDENCY = "postgresql"
SEEN_S = 5.0
PATIENCE_MS = 30_000
REASON = "a console that people trust"
SEEN = """() => {
    const text = (selector) => document.querySelector(selector)?.textContent ?? "";
    const of = (selector, word) => [...document.querySelectorAll(selector)].find((e) => e.textContent.includes(word));
    return text("#h-level") === "MINIMAL"
        && text(".cause").includes("postgresql")
        && of(".tile", "postgresql").dataset.tone === "DOWN"
        && of(".feature", "reservations").dataset.tone !== "ENABLED"
        && text("#timeline .changes li").includes("→ MINIMAL");
}"""


@pytest.fixture(scope="module")
def page(quick_stack: RunningStack, shop: Shop) -> Iterator[Page]:
    """Open the console on a shop that is well."""
    until("the shop is well", lambda: shop.level_at_flags().level == 0)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS, timeout=60_000)
        page = browser.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(quick_stack.url("flag-service"))
        expect(page.locator("#h-level")).to_have_text("OPTIMAL", timeout=PATIENCE_MS)
        expect(page.locator("#freshness")).to_have_text("live", timeout=PATIENCE_MS)
        page.evaluate("window.loaded = 'once'")
        yield page
        browser.close()


def test_a_killed_postgresql_is_seen_everywhere_within_seconds(
    quick_stack: RunningStack, shop: Shop, page: Page
) -> None:
    expect(page.locator(".tile", has_text=DEPENDENCY).get_by_role("img")).to_be_visible()
    expect(page.locator("#inventory")).to_contain_text("No write waits", timeout=PATIENCE_MS)
    try:
        began_s = time.monotonic()
        quick_stack.stop(DEPENDENCY)
        killed_s = time.monotonic()
        page.wait_for_function(SEEN, timeout=PATIENCE_MS)
        print(
            f"seen {time.monotonic() - killed_s:.2f} s after the kill, which took {killed_s - began_s:.2f} s"
        )

        assert time.monotonic() - killed_s < SEEN_S
        assert page.evaluate("window.loaded") == "once"

        assert shop.receive().status_code == 202
        expect(page.locator("#inventory")).to_contain_text("1 write waits", timeout=PATIENCE_MS)
    finally:
        quick_stack.restore(DEPENDENCY)

    expect(page.locator("#h-level")).to_have_text("OPTIMAL", timeout=60_000)
    expect(page.locator("#inventory")).to_contain_text("No write waits", timeout=PATIENCE_MS)
    assert page.evaluate("window.loaded") == "once"


def test_a_hold_of_the_level_goes_through_the_engine_and_back(quick_stack: RunningStack, page: Page) -> None:
    page.get_by_role("link", name="Hold the level").click()
    page.get_by_label("LIMITED", exact=True).check()
    page.get_by_label("Reason").fill(REASON)
    page.get_by_label("API key").fill(quick_stack.operator_key())
    page.get_by_role("button", name="Set the hold").click()

    expect(page.locator("#h-level")).to_have_text("LIMITED", timeout=PATIENCE_MS)
    expect(page.locator("#banner")).to_contain_text("Automatic")
    expect(page.locator(".hold time")).to_have_text(re.compile(r"in \d+:\d\d(:\d\d)?"))

    page.get_by_label("End the hold on level", exact=True).click()
    page.get_by_role("button", name="End it now").click()
    expect(page.locator("#h-level")).to_have_text("OPTIMAL", timeout=60_000)
    expect(page.locator("#audit")).to_contain_text(REASON)

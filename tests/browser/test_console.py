"""The console in a real browser, over a service on an in-memory bus."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import pytest
from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]
from playwright.async_api import Browser, Page, expect

from resilience_contracts import FeatureState, Level
from resilience_runtime import MemoryBus
from tests.browser.cut import Relay, relayed
from tests.browser.scene import OUT, change, inventory_stand_in, state, tell_day
from tests.contracts.states import audit_recorded, hold_set
from tests.flag_service.running import READ_KEY, WRITE_KEY, Replica, running, tell, until

expect.set_options(timeout=20_000)  # a busy machine is slow, not wrong

pytestmark = [pytest.mark.operations, pytest.mark.asyncio(loop_scope="module")]

ASSISTANT = "integrations.ai_assistant"
REASON = "the assistant invents prices"
DOWN = frozenset({OUT})
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
STANDARD = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
EVIL = '<img src=x onerror="window.hit=1"><script>window.hit=1</script>'
COLOURS = """() => [...document.querySelectorAll("h1, .word, .tile, .chart rect")].map((shown) => {
    const style = getComputedStyle(shown);
    return [style.color, style.fill, style.borderTopColor].join();
}).join(" ")"""
GREEN = "rgb(20, 104, 58)"


@asynccontextmanager
async def console(
    tmp_path: Path, level: Level = Level.MINIMAL, down: frozenset[str] = DOWN, bus: MemoryBus | None = None
) -> AsyncIterator[Replica]:
    bus = bus or MemoryBus()
    await tell_day(bus, level, down)
    async with (
        inventory_stand_in(waiting=12 if down else 0) as inventory,
        running(bus, tmp_path, on_port=True, inventory_url=inventory) as replica,
    ):
        await replica.until_ready()

        async def drawn() -> bool:
            return (await replica.client.get("/")).text.count("<polyline") >= 4

        await until(drawn)
        yield replica


async def is_live(page: Page) -> None:
    await expect(page.locator("#freshness")).to_have_text("live")


async def violations(page: Page) -> str:
    options = {"runOnly": STANDARD, "rules": {"target-size": {"enabled": True}}}
    found = await Axe().run(page, options=options)
    return found.generate_report() if found.violations_count else ""


async def fits(page: Page) -> bool:
    inside: bool = await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    return inside


async def fill(page: Page, *, choice: str = "FALLBACK", reason: str = REASON) -> None:
    await page.get_by_label(choice, exact=True).check()
    await page.get_by_label("Reason").fill(reason)
    await page.get_by_label("API key").fill(WRITE_KEY)


async def until_holds(replica: Replica, number: int) -> None:
    async def held() -> bool:
        return len((await replica.client.get("/v1/holds")).json()["holds"]) == number

    await until(held)


async def test_nothing_breaks_the_rules_of_accessibility_in_both_themes(page: Page, tmp_path: Path) -> None:
    bus = MemoryBus()
    async with console(tmp_path, bus=bus) as replica:
        await replica.put(ASSISTANT, state="FALLBACK", expires_in_s=900)
        await page.goto(replica.url)
        await is_live(page)
        await page.locator("summary").click()
        for theme in THEMES:
            await page.emulate_media(color_scheme=theme)
            assert not await violations(page)

        await page.set_viewport_size({"width": 360, "height": 740})
        assert await fits(page)
        await page.get_by_label(f"Change hold on {ASSISTANT}").click()
        await expect(page.locator("#preview")).to_contain_text("Changes no feature")
        assert await fits(page)
        for theme in THEMES:
            await page.emulate_media(color_scheme=theme)
            assert not await violations(page)

        await page.goto(f"{replica.url}/hold?target=level")
        assert await fits(page)
        await tell(bus, state(Level.OPTIMAL, 8))
        await page.goto(replica.url)
        await expect(page.get_by_role("heading", level=1)).to_have_text("OPTIMAL")
        assert await fits(page)
        assert not await violations(page)


async def test_the_page_says_what_an_operator_asks(page: Page, tmp_path: Path) -> None:
    async with console(tmp_path) as replica:
        await page.goto(replica.url)
        await is_live(page)

        await expect(page.get_by_role("heading", level=1)).to_have_text("MINIMAL")
        await expect(page.locator("#banner")).to_contain_text("postgresql DOWN: connection refused")
        await expect(page.locator("#banner")).to_contain_text(re.compile(r"Likely back in\s*45 s to 25 min"))
        tile = page.locator(".tile", has_text=OUT)
        await expect(tile).to_contain_text("DOWN")
        await expect(tile).to_contain_text(re.compile(r"Errors\s*15 %"))
        await expect(tile).to_contain_text("OPEN")
        await expect(tile.get_by_role("img")).to_have_attribute(
            "aria-label", re.compile("9 of 60 probes missed")
        )
        await expect(page.locator(".feature", has_text="reservations")).to_contain_text("postgresql DOWN")
        await expect(page.locator("#timeline rect[data-tone=MINIMAL]")).to_have_count(1)
        await expect(page.locator("#inventory")).to_contain_text(
            "12 writes wait to be applied, the oldest for 42 s"
        )
        await expect(page.locator("#inventory")).to_contain_text("41,230")


async def test_the_page_and_what_it_loads_are_small(page: Page, tmp_path: Path) -> None:
    async with console(tmp_path) as replica:
        for name in ("dashboard", "reports", "forecasting", "exports"):
            await replica.put(f"analytics.{name}", state="DISABLED")
        await page.goto(replica.url)
        await expect(page.locator("#inventory")).to_contain_text("On hand")
        sizes: dict[str, int] = {}

        async def note(response: Any) -> None:
            if "/v1/stream" not in response.url:
                sizes[response.url] = len(await response.body())

        await page.goto("about:blank")  # so that no answer to the first page is still under way
        page.on("response", note)
        await page.goto(replica.url)
        await is_live(page)
        await page.wait_for_function("performance.getEntriesByType('resource').length >= 6")

        assert len([url for url in sizes if "/static/" in url]) >= 5
        assert sum(sizes.values()) < 100_000


async def test_a_hold_is_set_seen_to_run_and_ended_in_a_dialog(page: Page, tmp_path: Path) -> None:
    async with console(tmp_path, Level.OPTIMAL, frozenset()) as replica:
        await page.goto(replica.url)
        await is_live(page)
        await page.get_by_label(f"Hold {ASSISTANT}").click()
        await page.get_by_label("FALLBACK", exact=True).check()
        await expect(page.locator("#preview")).to_contain_text("Changes 1 feature at once")
        await fill(page)
        await page.get_by_label("15 minutes").check()
        await page.get_by_role("button", name="Set the hold").click()

        hold = page.locator(".hold")
        await expect(hold).to_contain_text(ASSISTANT)
        await expect(page.get_by_role("dialog")).to_be_hidden()
        await expect(page.locator("#announce")).to_have_text("The hold is set.")
        await expect(hold.locator("time")).to_have_text(re.compile(r"in 14:5\d"))
        first = await hold.locator("time").inner_text()
        await expect(hold.locator("time")).not_to_have_text(first)
        await expect(page.locator(".feature", has_text="ai assistant")).to_contain_text(
            f"FALLBACK {REASON} held"
        )

        await page.get_by_label(f"Extend the hold on {ASSISTANT}").click()
        await page.get_by_label("4 hours", exact=True).check()
        await page.get_by_role("button", name="Extend").click()
        await expect(hold.locator("time")).to_have_text(re.compile(r"in 3:59:\d\d"))
        await page.get_by_label(f"End the hold on {ASSISTANT}", exact=True).click()
        await page.get_by_role("button", name="End it now").click()
        await expect(page.locator("#holds")).to_contain_text("Automation decides everything")
        await expect(page.locator("#audit li")).to_have_count(3)


async def test_a_hold_that_expires_leaves_the_page_by_itself(page: Page, tmp_path: Path) -> None:
    async with console(tmp_path, Level.OPTIMAL, frozenset()) as replica:
        await page.goto(replica.url)
        await is_live(page)
        await replica.put(ASSISTANT, state="DISABLED", expires_in_s=4)

        await expect(page.locator(".hold")).to_contain_text("in 0:0")
        await expect(page.locator(".hold")).to_have_count(0)
        await expect(page.locator(".feature", has_text="ai assistant")).to_contain_text("ENABLED")


async def test_somebody_elses_change_is_shown_as_a_difference(page: Page, tmp_path: Path) -> None:
    async with console(tmp_path, Level.OPTIMAL, frozenset()) as replica:
        await page.goto(replica.url)
        await is_live(page)
        await page.get_by_label(f"Hold {ASSISTANT}").click()
        await fill(page)
        await replica.put(ASSISTANT, state="DISABLED", reason="somebody was faster here")
        await page.get_by_role("button", name="Set the hold").click()

        alert = page.get_by_role("alert")
        await expect(alert).to_contain_text("the hold is not the one you read")
        await expect(alert).to_be_focused()
        await expect(alert.locator("tr", has_text="state")).to_have_text(
            re.compile(r"state\s*DISABLED\s*FALLBACK")
        )
        await page.get_by_label("API key").fill(WRITE_KEY)
        await page.get_by_role("button", name="Change the hold").click()
        await expect(page.locator(".hold")).to_contain_text("FALLBACK")


async def test_a_key_that_may_not_is_told_so_in_the_dialog(page: Page, tmp_path: Path) -> None:
    async with console(tmp_path) as replica:
        await page.goto(replica.url)
        await is_live(page)
        await page.get_by_role("link", name="Hold the level").click()
        await fill(page, choice="EMERGENCY")
        await page.get_by_label("API key").fill(READ_KEY)
        await page.get_by_role("button", name="Set the hold").click()

        await expect(page.get_by_role("alert")).to_contain_text("has no scope `write`")
        await expect(page.get_by_label("Reason")).to_have_value(REASON)


async def test_everything_is_reached_and_left_by_keyboard(page: Page, tmp_path: Path) -> None:
    bus = MemoryBus()
    async with console(tmp_path, Level.OPTIMAL, frozenset(), bus) as replica:
        await page.goto(replica.url)
        await is_live(page)
        await page.keyboard.press("Tab")
        await expect(page.locator(":focus")).to_have_text("Skip to the content")
        link = page.get_by_role("link", name="Hold the level")
        while not await link.evaluate("(link) => link === document.activeElement"):
            await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("dialog")).to_be_visible()
        await expect(page.locator(":focus")).to_have_attribute("name", "choice")
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_be_hidden()
        await expect(link).to_be_focused()

        await tell(bus, state(Level.LIMITED, 8, frozenset({"openai"})))
        await expect(page.get_by_role("heading", level=1)).to_have_text("LIMITED")
        await expect(link).to_be_focused()
        await expect(page.locator("#announce")).to_have_text("The level is now LIMITED.")


@asynccontextmanager
async def through_relay(page: Page, replica: Replica) -> AsyncIterator[Relay]:
    async with relayed(int(replica.url.rpartition(":")[2])) as relay:
        await page.goto(f"http://127.0.0.1:{relay.port}/")
        await is_live(page)
        yield relay


async def test_a_cut_stream_makes_the_page_stale_and_never_green(page: Page, tmp_path: Path) -> None:
    async with (
        console(tmp_path, Level.OPTIMAL, frozenset()) as replica,
        through_relay(page, replica) as relay,
    ):
        relay.cut()
        chip = page.locator("#freshness")
        await expect(chip).to_have_text("reconnecting")
        await expect(chip).to_have_text(re.compile(r"stale for \d+ s"))
        await expect(chip).to_have_attribute("data-state", "stale")
        await expect(page.locator("#banner")).to_contain_text("last known")
        assert GREEN not in await page.evaluate(COLOURS)

        relay.connected = True
        await is_live(page)
        assert GREEN in await page.evaluate(COLOURS)


async def test_a_connection_that_hangs_makes_it_stale_too(page: Page, tmp_path: Path) -> None:
    async with console(tmp_path, Level.OPTIMAL, frozenset()) as replica:
        await page.clock.install()
        await page.goto(replica.url)
        await is_live(page)
        await page.route(f"{replica.url}/?**", lambda _: None)
        await page.route(f"{replica.url}/", lambda _: None)

        await page.clock.fast_forward(20_000)

        await expect(page.locator("#freshness")).to_have_text(re.compile("stale for"))
        assert GREEN not in await page.evaluate(COLOURS)
        await page.unroute_all(behavior="ignoreErrors")


async def test_an_engine_that_falls_silent_makes_it_stale_too(page: Page, tmp_path: Path) -> None:
    bus = MemoryBus()
    soon = datetime.now(UTC) + timedelta(seconds=3)
    await tell(bus, state(Level.OPTIMAL, 1).model_copy(update={"next_heartbeat_by": soon}))
    async with running(bus, tmp_path, on_port=True) as replica:
        await replica.until_ready()
        await page.goto(replica.url)
        await is_live(page)

        await expect(page.locator("#freshness")).to_have_text(re.compile("stale for"))
        assert GREEN not in await page.evaluate(COLOURS)


async def test_without_scripts_the_state_is_read_and_a_hold_set_and_ended(
    browser: Browser, tmp_path: Path
) -> None:
    async with console(tmp_path, Level.OPTIMAL, frozenset()) as replica:
        context = await browser.new_context(java_script_enabled=False, viewport={"width": 360, "height": 740})
        page = await context.new_page()
        await page.goto(replica.url)
        assert await page.locator("h1").inner_text() == "OPTIMAL"
        assert "as of" in await page.locator("#freshness").inner_text()

        await page.get_by_label(f"Hold {ASSISTANT}").click()
        await page.get_by_label("FALLBACK", exact=True).check()
        await page.get_by_role("button", name="Preview").click()
        assert "Changes 1 feature at once" in await page.locator("#preview").inner_text()
        await fill(page)
        await page.get_by_role("button", name="Set the hold").click()
        assert "The hold is set." in await page.locator("main").inner_text()
        await until_holds(replica, 1)

        await page.get_by_label(f"End the hold on {ASSISTANT}", exact=True).click()
        await page.get_by_label("API key").fill(WRITE_KEY)
        await page.get_by_role("button", name="End it now").click()
        assert "The hold has ended." in await page.locator("main").inner_text()
        await until_holds(replica, 0)
        await context.close()


async def test_text_from_events_is_text_and_the_policy_stops_the_rest(page: Page, tmp_path: Path) -> None:
    bus = MemoryBus()
    hold = hold_set(FeatureState.DISABLED, set_at=datetime.now(UTC))
    evil_state = state(Level.MINIMAL, 7, DOWN)
    features = {key: seen.model_copy(update={"detail": EVIL}) for key, seen in evil_state.features.items()}
    for event in (
        change(Level.OPTIMAL, Level.MINIMAL, 7, timedelta(minutes=1), EVIL),
        evil_state.model_copy(update={"cause": EVIL, "features": features, "level": "MINIMAL"}),
        hold.model_copy(update={"reason": EVIL, "actor": EVIL}),
        audit_recorded().model_copy(
            update={"actor": EVIL, "reason": EVIL, "target": EVIL, "after": {"state": EVIL}}
        ),
    ):
        await tell(bus, event)
    async with running(bus, tmp_path, on_port=True) as replica:
        await replica.until_ready()
        await page.goto(f"{replica.url}/?period={EVIL}&done={EVIL}")
        await is_live(page)

        for part in ("#banner", ".feature", "#holds", "#timeline", "#audit"):
            await expect(page.locator(part).first).to_contain_text(EVIL)
        await page.get_by_label(f"End the hold on {ASSISTANT}", exact=True).click()
        await expect(page.get_by_role("dialog")).to_contain_text(EVIL)
        blocked = await page.evaluate(
            """() => new Promise((resolve) => {
                const seen = new Set();
                document.addEventListener("securitypolicyviolation", (event) => {
                    seen.add(event.effectiveDirective);
                    if (seen.size === 3) resolve([...seen].sort());
                });
                document.body.insertAdjacentHTML("beforeend", '<img src="/none" onerror="window.hit=1">');
                const script = document.createElement("script");
                script.textContent = "window.hit=1";
                document.body.append(script);
                document.body.append(Object.assign(new Image(), { src: "http://evil.test/" }));
            })"""
        )
        assert blocked == ["img-src", "script-src-attr", "script-src-elem"]
        assert await page.evaluate("window.hit") is None


async def test_names_in_an_address_or_of_a_scope_are_text(page: Page, tmp_path: Path) -> None:
    bus = MemoryBus()
    async with console(tmp_path, bus=bus) as replica:
        await tell(bus, state(Level.MINIMAL, 9, DOWN).model_copy(update={"scope": EVIL}))
        for address in ("/?scope={}", "/hold?scope={}&target=level", "/hold?scope=default&target={}"):
            await page.goto(replica.url + address.format(quote(EVIL)))
            await expect(page.locator("#main, .notice, pre, body").first).to_be_visible()

            assert await page.locator("img, script:not([src])").count() == 0
            assert await page.evaluate("window.hit") is None


async def test_on_a_phone_what_is_broken_comes_first(page: Page, tmp_path: Path) -> None:
    async with console(tmp_path) as replica:
        await page.set_viewport_size({"width": 360, "height": 740})
        await page.goto(replica.url)
        await is_live(page)

        first = await page.evaluate("""() => [...document.querySelectorAll(".tile")]
            .sort((a, b) => a.getBoundingClientRect().top - b.getBoundingClientRect().top)[0]
            .querySelector("h3").innerText""")
        assert first == OUT


async def test_another_page_neither_frames_the_console_nor_sends_its_form(page: Page, tmp_path: Path) -> None:
    async with console(tmp_path) as replica:
        trap = f"""<iframe src="{replica.url}/"></iframe>
            <form method="post" action="{replica.url}/hold">
            <input name="scope" value="default"><input name="target" value="{ASSISTANT}">
            <input name="choice" value="DISABLED"><input name="reason" value="{REASON}">
            <input name="key" value="{WRITE_KEY}"><button>Win a prize</button></form>"""
        await page.goto(f"{replica.url}/hold?target={ASSISTANT}")  # the browser has its cookie
        await page.route(
            "http://127.0.0.1:9/**", lambda route: route.fulfill(body=trap, content_type="text/html")
        )
        await page.goto("http://127.0.0.1:9/")
        framed = page.frames[1]
        await until(lambda: framed.url.startswith("chrome-error:"))

        await page.get_by_role("button").click()

        await expect(page.locator("body")).to_contain_text("sent from another site")
        await until_holds(replica, 0)

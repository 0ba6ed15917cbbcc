"""The console in Chromium: bytes, time to the first view, and a tab that stays open for a day.

The floor: a line of JSON from the same service in the same browser. The day is compressed: the
page's clock is ours, and each of 86,400 seconds brings one event of the stream, the timers that are due and one page
in which every part differs from the one before; one in sixty is painted. The pages come from the service beforehand.
The day takes a quarter of an hour of one core; it is told hour by hour.
Bounds: under 100,000 bytes; first contentful paint under 300 ms in the median of 15; heap growth under 60 MB.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from playwright.async_api import Browser, Page, async_playwright

from resilience_contracts import Level
from resilience_runtime import MemoryBus
from tests.browser.chromium import ARGUMENTS, chromium
from tests.browser.scene import OUT, inventory_stand_in, state, tell_day
from tests.flag_service.running import Replica, running, tell, until

BYTES_BOUND, VIEW_BOUND_MS, GROWTH_BOUND_MB = 100_000, 300.0, 60.0
VIEWS, HOURS = 15, 24
MB = 1024 * 1024
RESULT = Path(".stack/bench/console_page.json")

PAINTED = """() => new Promise((resolve) => new PerformanceObserver((list) => {
    const paint = list.getEntriesByName("first-contentful-paint")[0];
    if (paint) resolve(paint.startTime);
}).observe({ type: "paint", buffered: true }))"""
LOADED = """() => [performance.getEntriesByType("navigation"), performance.getEntriesByType("resource")].flat()
    .filter((entry) => !["fetch", "other"].includes(entry.initiatorType))
    .reduce((sum, entry) => sum + entry.decodedBodySize, 0)"""
STUBS = """
const intervals = [];
const clock = performance.now.bind(performance);
const date = Date.now;
let seconds = 0;
window.updates = 0;
performance.now = () => clock() + seconds * 1000;
Date.now = () => date() + seconds * 1000;
window.setTimeout = (work) => { queueMicrotask(work); return 0; };
window.setInterval = (work, ms) => intervals.push([work, ms / 1000]);
window.EventSource = class extends EventTarget {
    constructor() { super(); window.stream = this; }
    close() {}
};
window.fetch = async () => {
    const update = ++window.updates;
    const text = window.pages[update % window.pages.length]
        .replaceAll("data-now=", `data-update="${update}" data-now=`)
        .replaceAll("<rect", `<rect id="r${update}"`)
        .replaceAll(/class="(word|name|target|quiet)"/g, `class="$1" title="update ${update}"`);
    return { ok: true, text: async () => text };
};
window.live = async (span) => {
    for (const end = seconds + span; seconds < end;) {
        const wanted = window.updates + 1;
        seconds++;
        window.stream.dispatchEvent(new Event("state"));
        for (const [work, every] of intervals) if (seconds % every === 0) work();
        while (window.updates < wanted) await null;
        if (seconds % 60 === 0) await new Promise(requestAnimationFrame);
    }
};
"""


async def first_views(browser: Browser, url: str) -> list[float]:
    """Open an address in a fresh profile again and again; return the milliseconds to the first paint."""
    seen = []
    for _ in range(VIEWS):
        context = await browser.new_context()
        page = await context.new_page()
        await page.goto(url)
        seen.append(float(await page.evaluate(PAINTED)))
        await context.close()
    return seen


async def weight(browser: Browser, url: str) -> int:
    """Return how many bytes the page and all it loads have, before any compression."""
    page = await browser.new_page()
    await page.goto(url)
    await page.wait_for_selector("#freshness[data-state=live]")
    loaded: int = await page.evaluate(LOADED)
    await page.close()
    return loaded


async def heap_mb(page: Page) -> float:
    """Return what the scripts of a page hold after a collection, in MB."""
    session = await page.context.new_cdp_session(page)
    await session.send("HeapProfiler.collectGarbage")
    usage = await session.send("Runtime.getHeapUsage")
    await session.detach()
    return float(usage["usedSize"] + usage.get("embedderHeapUsedSize", 0)) / MB


async def shown(replica: Replica, level: Level) -> str | None:
    """Return the page once it shows a level."""
    text = (await replica.client.get("/")).text
    return text if f">{level.name}</h1>" in text else None


async def day(browser: Browser, replica: Replica, bus: MemoryBus) -> tuple[list[float], int]:
    """Let a tab live through a day; return its heap at the start and after each hour, and its updates."""
    pages = []
    for counter, (level, down) in enumerate(
        [(Level.OPTIMAL, frozenset()), (Level.MINIMAL, frozenset({OUT}))], 8
    ):
        await tell(bus, state(level, counter, down))
        pages.append(await until(partial(shown, replica, level)))
    page = await browser.new_page()
    await page.add_init_script(STUBS)
    await page.goto(replica.url)
    await page.wait_for_function("() => 'stream' in window")
    await page.evaluate(
        "(pages) => { window.pages = pages; stream.dispatchEvent(new Event('open')); }", pages
    )
    await page.evaluate("live(60)")
    heaps = [await heap_mb(page)]
    for hour in range(1, HOURS + 1):
        await page.evaluate("live(3600)")
        heaps.append(await heap_mb(page))
        print(f"hour {hour:>2}: {heaps[-1]:.1f} MB", flush=True)
    updates: int = await page.evaluate("window.updates")
    await page.close()
    return heaps, updates


async def measure() -> bool:
    """Measure and print; answer whether every bound holds."""
    bus = MemoryBus()
    await tell_day(bus, Level.MINIMAL, frozenset({OUT}))
    async with (
        inventory_stand_in(waiting=12) as inventory,
        running(bus, Path(tempfile.mkdtemp()), on_port=True, inventory_url=inventory) as replica,
        async_playwright() as playwright,
    ):
        await replica.until_ready()
        browser = await playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        loaded = await weight(browser, replica.url)
        floor_ms = statistics.median(await first_views(browser, f"{replica.url}/health/live"))
        views = await first_views(browser, replica.url)
        print(f"weight {loaded:,} bytes; first views, ms: {sorted(map(round, views))}", flush=True)
        began_s = time.monotonic()
        heaps, updates = await day(browser, replica, bus)
        took_s = time.monotonic() - began_s
        await browser.close()
    view_ms, growth = statistics.median(views), max(heaps) - heaps[0]
    _print(loaded, views, floor_ms, heaps, f"{updates:,} updates in {took_s:.0f} s")
    return loaded < BYTES_BOUND and view_ms < VIEW_BOUND_MS and growth < GROWTH_BOUND_MB


def _print(loaded: int, views: list[float], floor_ms: float, heaps: list[float], did: str) -> None:
    rows = [
        ("weight, bytes", loaded, BYTES_BOUND, ""),
        (
            "first view, ms",
            statistics.median(views),
            VIEW_BOUND_MS,
            f"floor {floor_ms:.0f}, most {max(views):.0f}",
        ),
        ("heap growth, MB", max(heaps) - heaps[0], GROWTH_BOUND_MB, did),
    ]
    for name, measured, bound, more in rows:
        print(f"{name:<16} {measured:>10,.1f}   bound {bound:>9,.0f}   {more}")
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    figures = {"bytes": loaded, "view_ms": views, "floor_ms": floor_ms, "heap_mb": heaps, "day": did}
    RESULT.write_text(json.dumps(figures, indent=2))


def main() -> int:
    """Run the benchmark; answer 0 when its bounds hold."""
    return 0 if asyncio.run(measure()) else 1


if __name__ == "__main__":
    sys.exit(main())

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from resilience_contracts import DependencyState, FeatureState, Health, Level, LevelState
from resilience_runtime import MemoryBus
from tests.contracts.states import hold_set, level_changed, level_state
from tests.flag_service.running import READ_KEY, WRITE_KEY, Replica, running, tell, until

HELD = "integrations.ai_assistant"
XSS = "<script>alert('x')</script>"


def current(level: Level, counter: int = 1, **changes: Any) -> LevelState:
    return level_state(level, (1, counter), at=datetime.now(UTC)).model_copy(update=changes)


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus()


@pytest.fixture
async def replica(bus: MemoryBus, tmp_path: Path) -> AsyncIterator[Replica]:
    await tell(bus, current(Level.LIMITED))
    async with running(bus, tmp_path) as one:
        await one.until_state(HELD, "DISABLED")
        yield one


async def form_token(replica: Replica) -> str:
    page = await replica.client.get("/hold", params={"target": HELD})
    found = re.search(r'name="token" value="([^"]*)"', page.text)
    assert found is not None
    return found[1]


async def submit(replica: Replica, **fields: str) -> httpx.Response:
    form = {
        "token": await form_token(replica),
        "scope": "default",
        "target": HELD,
        "choice": "FALLBACK",
        "reason": "the assistant invents prices",
        "expires_in_s": "900",
        "allow_better": "yes",
        "key": WRITE_KEY,
    }
    return await replica.client.post("/hold", data=form | fields)


async def test_the_page_says_the_level_its_cause_every_dependency_and_every_feature(replica: Replica) -> None:
    page = (await replica.client.get("/")).text

    assert re.search("<h1[^>]*>LIMITED</h1>", page)
    assert "an example" in page
    assert all(f">{name}</h3>" in page for name in ("openai", "postgresql", "redis", "s3"))
    assert page.count('class="feature"') == 16
    assert "as of" in page


async def test_a_warning_says_in_what_a_dependency_is_unusual(replica: Replica, bus: MemoryBus) -> None:
    slow = DependencyState(
        health=Health.IMPAIRED,
        score=70,
        since=datetime.now(UTC),
        warning="takes 4.1 x its usual for this hour",
    )
    await tell(bus, current(Level.DEGRADED, 2, dependencies={"openai": slow}))

    async def shown() -> str | None:
        page = (await replica.client.get("/")).text
        return page if "IMPAIRED" in page else None

    assert '<span class="tag">takes 4.1 x its usual for this hour</span>' in await until(shown)


async def test_nothing_on_the_page_comes_from_elsewhere(replica: Replica) -> None:
    answer = await replica.client.get("/")

    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Frame-Options"] == "DENY"
    sources = re.findall(r'(?:src|href|action)="([^"]*)"', answer.text)
    assert all(source.startswith(("/", "#")) for source in sources)
    assert "style=" not in answer.text
    assert not re.search(r"<script(?![^>]* src=)", answer.text)
    for name in ("console.css", "console.js", "live.js", "dialog.js", "times.js", "icon.svg"):
        assert (await replica.client.get(f"/static/{name}")).status_code == 200


async def test_text_from_events_is_shown_as_text(replica: Replica, bus: MemoryBus) -> None:
    hold = hold_set(FeatureState.FALLBACK, set_at=datetime.now(UTC), allow_better=True)
    await tell(bus, hold.model_copy(update={"reason": XSS, "actor": XSS}))
    await tell(bus, level_changed().model_copy(update={"cause": XSS}))
    await tell(bus, current(Level.LIMITED, 2, cause=XSS))

    async def shown() -> str | None:
        page = (await replica.client.get("/")).text
        return page if page.count("&lt;script&gt;") >= 4 else None

    assert XSS not in await until(shown)
    assert XSS not in (await replica.client.get("/hold", params={"target": HELD})).text


@pytest.mark.parametrize(
    "path", [f"/?scope={XSS}", f"/hold?target={XSS}", f"/hold?target={HELD}&scope={XSS}", f"/?done={XSS}"]
)
async def test_text_from_the_address_is_not_shown_at_all(replica: Replica, path: str) -> None:
    answer = await replica.client.get(path, follow_redirects=True)

    assert answer.status_code == 200
    assert "alert" not in answer.text


async def test_a_hold_is_set_and_ended_by_a_plain_form(replica: Replica) -> None:
    done = await submit(replica)
    page = (await replica.client.get(done.headers["location"])).text
    form = (await replica.client.get("/hold", params={"target": HELD})).text
    tag = re.search(r'name="if_match" value="([^"]*)"', form)

    assert done.status_code == 303
    assert "The hold is set." in page
    assert "held · olivia" in page
    assert tag is not None
    ended = await submit(replica, action="end", if_match=tag[1].replace("&#34;", '"'), reason="")
    assert ended.status_code == 303
    assert (await replica.feature(HELD))["hold"] is None


@pytest.mark.parametrize(
    ("fields", "status", "said"),
    [
        ({"key": ""}, 401, "Give a known key"),
        ({"key": READ_KEY}, 403, "has no scope `write`"),
        ({"reason": "short"}, 422, "at least 10 characters"),
        ({"choice": ""}, 422, "state"),
        ({"action": "end"}, 404, "Nothing holds"),
    ],
)
async def test_a_refusal_is_said_on_the_form_which_keeps_what_was_typed(
    replica: Replica, fields: dict[str, str], status: int, said: str
) -> None:
    answer = await submit(replica, **fields)

    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")
    assert said in answer.text
    assert (fields.get("reason") or "the assistant invents prices") in answer.text
    assert WRITE_KEY not in answer.text


async def test_somebody_elses_change_is_shown_as_a_difference(replica: Replica) -> None:
    await submit(replica)

    late = await submit(replica, choice="DISABLED")

    assert late.status_code == 409
    assert "What differs" in late.text
    assert "<td>FALLBACK</td><td>DISABLED</td>" in late.text


@pytest.mark.parametrize(
    ("headers", "token", "code"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, None, "another site"),
        ({"Sec-Fetch-Site": "same-site"}, None, "another site"),
        ({"Origin": "http://evil.test"}, None, "another site"),
        ({"Origin": "null"}, None, "another site"),
        ({}, "", "not from this browser"),
        ({}, "A" * 22, "not from this browser"),
    ],
)
async def test_a_form_of_another_site_does_nothing(
    replica: Replica, headers: dict[str, str], token: str | None, code: str
) -> None:
    replica.client.headers.update(headers)

    answer = await (submit(replica) if token is None else submit(replica, token=token))

    assert answer.status_code == 403
    assert code in answer.text
    assert (await replica.feature(HELD))["hold"] is None


async def test_a_form_of_our_own_page_is_taken_whatever_the_browser_tells(replica: Replica) -> None:
    replica.client.headers["Origin"] = "http://flags.test"

    assert (await submit(replica)).status_code == 303


async def test_the_cookie_is_for_the_form_alone(replica: Replica) -> None:
    answer = await replica.client.get("/hold", params={"target": HELD})

    cookie = answer.headers["set-cookie"].lower()
    assert all(word in cookie for word in ("httponly", "samesite=strict", "path=/hold"))


async def test_a_preview_says_what_would_change_and_sets_nothing(replica: Replica) -> None:
    answer = await submit(replica, action="preview", key="", reason="")

    assert answer.status_code == 200
    assert "Changes 1 feature at once" in answer.text
    assert (await replica.feature(HELD))["hold"] is None


async def test_a_hold_is_extended_with_what_it_was(replica: Replica) -> None:
    await submit(replica)
    before = (await replica.feature(HELD))["hold"]
    form = (await replica.client.get("/hold", params={"target": HELD, "task": "extend"})).text
    hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form))

    done = await submit(
        replica, **hidden | {"if_match": hidden["if_match"].replace("&#34;", '"'), "expires_in_s": "3600"}
    )

    after = (await replica.feature(HELD))["hold"]
    assert done.status_code == 303
    assert after["expires_at"] > before["expires_at"]
    assert {**after, "expires_at": 0, "version": 0, "set_at": 0} == {
        **before,
        "expires_at": 0,
        "version": 0,
        "set_at": 0,
    }
    assert "extend" in (await replica.client.get("/")).text


async def test_a_stale_page_says_so_and_is_not_green(bus: MemoryBus, tmp_path: Path) -> None:
    ago = datetime.now(UTC) - timedelta(minutes=5)
    await tell(bus, level_state(Level.OPTIMAL, at=ago))

    async with running(bus, tmp_path) as replica:
        await replica.until_ready()
        await replica.until_state(HELD, "ENABLED")
        page = (await replica.client.get("/")).text

    assert "data-stale" in page
    assert "last known" in page
    assert 'data-state="stale"' in page
    assert not re.search(r'data-tone="(ENABLED|UP)"', page)


async def test_a_page_with_nothing_known_yet_is_a_page(tmp_path: Path) -> None:
    gone = MemoryBus()
    gone.up = False

    async with running(gone, tmp_path) as replica:
        page = await replica.client.get("/")

    assert page.status_code == 200
    assert ">UNKNOWN</h1>" in page.text
    assert "no level heard yet" in page.text

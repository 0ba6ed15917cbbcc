"""`resilience hold` against a running flag-service."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from resilience_contracts import Level
from resilience_runtime import MemoryBus
from tests.cli.command import Called, Command
from tests.contracts.states import level_state
from tests.flag_service.running import READ_KEY, WRITE_KEY, Replica, running, tell

FEATURE = "integrations.ai_assistant"
SET = ("hold", "set", FEATURE, "disabled", "--for", "30m", "--reason", "the assistant invents prices")


class Operator:
    """Somebody at a terminal with a key."""

    def __init__(self, command: Command, replica: Replica) -> None:
        self._command = command
        self.replica = replica

    async def __call__(self, *words: str, key: str = WRITE_KEY) -> Called:
        self._command.env |= {"RESILIENCE_API_KEY": key}
        return await asyncio.to_thread(self._command.call, *words)


@pytest.fixture
async def operator(tmp_path: Path) -> AsyncIterator[Operator]:
    bus = MemoryBus()
    await tell(bus, level_state(Level.OPTIMAL, at=datetime.now(UTC)))
    async with running(bus, tmp_path / "state", on_port=True) as replica:
        await replica.until_ready()
        port = replica.url.rpartition(":")[2]
        yield Operator(Command(tmp_path / "stack", {"FLAG_SERVICE_PORT": port}), replica)


async def held(operator: Operator) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads((await operator("hold", "list", "--json")).out)["holds"]
    return found


async def test_a_hold_is_set_extended_listed_and_ended(operator: Operator) -> None:
    done = await operator(*SET, "--json")
    longer = await operator("hold", "extend", FEATURE, "--for", "2h", "--json")
    listed = await operator("hold", "list")
    ended = await operator("hold", "end", FEATURE, "--reason", "it is mended upstream")
    again = await operator("hold", "end", FEATURE, "--reason", "it is mended upstream")

    assert (done.code, longer.code, ended.code) == (0, 0, 0), done.err + longer.err + ended.err
    first, second = json.loads(done.out)["hold"], json.loads(longer.out)["hold"]
    assert (first["state"], first["actor"]) == ("DISABLED", "olivia")
    assert (second["hold_id"], second["version"]) == (first["hold_id"], 2)
    assert second["expires_at"] > first["expires_at"]
    assert (FEATURE in listed.out, "1 h 59 m" in listed.out) == (True, True)
    assert (again.code, "Nothing holds" in again.err) == (1, True)
    assert await held(operator) == []


async def test_a_hold_in_the_way_is_shown_and_replaced_only_by_name(operator: Operator) -> None:
    await operator(*SET)
    other = (*SET[:3], "FALLBACK", "--for", "1h", "--reason", "answers from the cache only")

    refused = await operator(*other)
    as_json = await operator(*other, "--json")
    hold = json.loads(as_json.out)["conflict"]["current"]
    override = f"{hold['hold_id']}.{hold['version']}"
    stale = await operator(*other, "--override", f"{hold['hold_id']}.7")
    replaced = await operator(*other, "--override", override)

    assert (refused.code, as_json.code, stale.code, replaced.code) == (1, 1, 1, 0)
    assert "olivia holds it at DISABLED until" in refused.err
    assert "state: DISABLED -> FALLBACK" in refused.err
    assert f"--override {override}" in refused.err
    assert [(one["state"], one["version"]) for one in await held(operator)] == [("FALLBACK", 2)]


async def test_a_dry_run_says_what_would_change_and_changes_nothing(operator: Operator) -> None:
    one = await operator(*SET, "--dry-run", key="none is needed")
    level = await operator(
        "hold", "set", "level", "MINIMAL", "--for", "1h", "--reason", "a dry run only", "--dry-run", "--json"
    )

    assert f"{FEATURE}: ENABLED -> DISABLED" in one.out
    changed = {effect["key"]: effect["after"] for effect in json.loads(level.out)["effects"]}
    assert changed[FEATURE] == "DISABLED"
    assert await held(operator) == []


async def test_an_extension_that_would_shorten_is_refused(operator: Operator) -> None:
    await operator(*SET)

    shorter = await operator("hold", "extend", FEATURE, "--for", "5m")
    preview = await operator("hold", "extend", FEATURE, "--for", "5h", "--dry-run")

    assert (shorter.code, "lasts 29 m" in shorter.err) == (3, True)
    assert (preview.code, "would be held" in preview.out) == (0, True)
    assert [one["version"] for one in await held(operator)] == [1]


@pytest.mark.parametrize(
    ("words", "key", "code", "said"),
    [
        (SET, READ_KEY, 3, "403"),
        (SET, "unknown", 3, "401"),
        ((*SET[:4], *SET[4:6]), WRITE_KEY, 2, "--reason"),
        ((*SET[:4], *SET[6:]), WRITE_KEY, 2, "--for"),
        ((*SET[:5], "30", *SET[6:]), WRITE_KEY, 2, "no length of time"),
        ((*SET[:5], "25h", *SET[6:]), WRITE_KEY, 3, "86400"),
        ((*SET[:3], "LIMITED", *SET[4:]), WRITE_KEY, 2, "takes one of"),
        (("hold", "set", "no-such", *SET[3:]), WRITE_KEY, 3, "no-such is no feature"),
        ((*SET[:7], "short"), WRITE_KEY, 3, "at least 10"),
    ],
    ids=["may not", "unknown key", "no reason", "no end", "no unit", "too long", "level", "target", "short"],
)
async def test_what_is_refused_says_why(
    operator: Operator, words: tuple[str, ...], key: str, code: int, said: str
) -> None:
    called = await operator(*words, key=key)

    assert (called.code, said in called.err) == (code, True), called.err
    assert await held(operator) == []


def test_who_answers_as_no_flag_service_is_told_in_a_line(tmp_path: Path) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(502)
            self.end_headers()
            self.wfile.write(b"<html>Bad gateway</html>")

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        called = Command(tmp_path, {"FLAG_SERVICE_PORT": str(server.server_port)}).call("hold", "list")
        server.shutdown()

    assert (called.code, "answers 502, and not as a flag-service does" in called.err) == (3, True), called.err


def test_without_a_key_or_a_service_the_remedy_is_named(tmp_path: Path) -> None:
    command = Command(tmp_path / "stack", {"RESILIENCE_API_KEY": ""})

    keyless = command.call(*SET)
    nobody = command.call("hold", "list")

    assert (keyless.code, "RESILIENCE_API_KEY" in keyless.err) == (3, True)
    assert (nobody.code, "does not answer" in nobody.err) == (3, True)

"""Any request that the API's own document allows, or nearly allows, gets an answer that the document allows."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import given, settings
from schemathesis.core.result import Ok

from resilience_contracts import Level
from resilience_runtime import MemoryBus
from tests.contracts.states import level_state
from tests.flag_service.running import WRITE_KEY, HandedLease, running, tell


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a replica in a thread: the generated requests are synchronous."""
    state_dir: Path = tmp_path_factory.mktemp("state")
    ready, stop = threading.Event(), asyncio.Event()
    found: list[str] = []
    loop = asyncio.new_event_loop()

    async def serve_until_stopped() -> None:
        bus = MemoryBus()
        await tell(bus, level_state(Level.LIMITED, at=datetime.now(UTC)))
        async with AsyncExitStack() as stack:
            # Nothing is delivered to the hosts that are made up here.
            nobody = HandedLease(held=False)
            replica = await stack.enter_async_context(running(bus, state_dir, on_port=True, lease=nobody))
            found.append(replica.url)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve_until_stopped(),))
    thread.start()
    assert ready.wait(10)
    yield found[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)
    loop.close()


@pytest.fixture(scope="module")
def api(url: str) -> schemathesis.BaseSchema:
    """All but the event stream, which never ends."""
    return schemathesis.openapi.from_url(f"{url}/openapi.json").exclude(path="/v1/stream")


def test_every_answer_is_one_that_the_document_names(api: schemathesis.BaseSchema) -> None:
    operations = [result.ok() for result in api.get_all_operations() if isinstance(result, Ok)]

    for operation in operations:

        @given(case=operation.as_strategy())
        @settings(max_examples=25, deadline=None)
        def check(case: schemathesis.Case[Any]) -> None:
            case.call_and_validate(headers={"X-API-Key": WRITE_KEY})

        check()

    named = {(method, path) for path, one in api.raw_schema["paths"].items() for method in one}
    checked = {(operation.method, operation.path) for operation in operations}
    assert named - checked == {("get", "/v1/stream")}

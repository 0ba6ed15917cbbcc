"""A connection to Redis that is reset before it is used is a failure like others, and ends no process."""

from __future__ import annotations

import asyncio

import uvloop
from redis.exceptions import ConnectionError as RedisConnectionError

from inventory_api.adapters.cache import connect


def test_a_connection_that_was_reset_before_it_is_written_to_is_a_failure_of_redis() -> None:
    async def write_after_reset() -> BaseException | None:
        async with await asyncio.start_server(
            lambda _reader, writer: writer.close(), "127.0.0.1", 0
        ) as server:
            port = server.sockets[0].getsockname()[1]
            client = connect(f"redis://127.0.0.1:{port}/0", 1)
            connection = client.connection_pool.make_connection()  # type: ignore[no-untyped-call] # redis types none
            await connection._connect()
            connection._writer.transport.abort()
            await asyncio.sleep(0.01)
            try:
                await connection.send_packed_command(b"PING", check_health=False)
            except Exception as error:  # noqa: BLE001 - which one is the question
                return error
            finally:
                await client.aclose()
            return None

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert isinstance(runner.run(write_after_reset()), RedisConnectionError)

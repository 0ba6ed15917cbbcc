"""Every backing part, used through the libraries that the services use."""

from __future__ import annotations

import asyncpg
import openai
import pytest
import redis.asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.fixtures.services import S3Access, StandIn, new_database


async def test_kafka_keeps_what_is_sent(kafka_bootstrap: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic("kept", 1, 1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=kafka_bootstrap, acks="all") as producer:
        await producer.send_and_wait("kept", b"value")

    async with AIOKafkaConsumer(
        "kept", bootstrap_servers=kafka_bootstrap, auto_offset_reset="earliest"
    ) as consumer:
        record = await consumer.getone()

    assert record.value == b"value"


async def test_postgresql_is_18_durable_and_asks_for_a_password(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        version, fsync, checksums = [
            await connection.fetchval(f"SHOW {name}")
            for name in ("server_version_num", "fsync", "data_checksums")
        ]
    finally:
        await connection.close()
    user, _, rest = database_url.partition("//")[2].partition(":")
    wrong = f"postgresql://{user}:wrong@{rest.partition('@')[2]}"

    assert int(version) >= 180_000
    assert (fsync, checksums) == ("on", "on")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(wrong)


async def test_each_database_is_empty_and_ends_with_its_test(postgres_url: str) -> None:
    with new_database(postgres_url) as url:
        connection = await asyncpg.connect(url)
        await connection.execute("CREATE TABLE mine ()")
        # Left open on purpose: the database is dropped all the same.
    with new_database(postgres_url) as other:
        second = await asyncpg.connect(other)
        tables = await second.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        await second.close()
    connection.terminate()

    assert tables == 0
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await asyncpg.connect(url)


async def test_redis_answers(redis_url: str) -> None:
    async with redis.asyncio.from_url(redis_url) as client:
        await client.set("key", "value")

        assert await client.get("key") == b"value"


def test_s3_keeps_an_object(s3: S3Access) -> None:
    client = s3.client()
    client.put_object(Bucket=s3.bucket, Key="key", Body=b"value")

    assert client.get_object(Bucket=s3.bucket, Key="key")["Body"].read() == b"value"
    client.close()


async def test_openai_client_gets_an_answer_that_says_what_it_is(openai_standin: StandIn) -> None:
    async with openai.AsyncOpenAI(base_url=openai_standin.base_url, api_key="any", max_retries=0) as client:
        answer = await client.chat.completions.create(
            model=openai_standin.model, messages=[{"role": "user", "content": "How many?"}]
        )

    assert (
        answer.choices[0].message.content == "[stand-in for OpenAI, no model was asked] You asked: How many?"
    )

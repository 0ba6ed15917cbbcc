from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Iterator

import httpx
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from resilience_cli.openai_standin import create_app
from resilience_cli.openai_standin.answers import completion, completion_chunks, reply
from tests.fixtures.services import StandIn

KEY = {"Authorization": "Bearer any"}
ASK = {"model": "m", "messages": [{"role": "user", "content": "How many?"}]}


@pytest.fixture
def client() -> Iterator[TestClient]:
    with TestClient(create_app(random.Random(1)), headers=KEY) as client:
        yield client


def test_the_same_question_gets_the_same_bytes(client: TestClient) -> None:
    assert (
        client.post("/v1/chat/completions", json=ASK).content
        == client.post("/v1/chat/completions", json=ASK).content
    )


def test_every_answer_says_that_it_is_a_stand_in(client: TestClient) -> None:
    for path in ("/", "/v1/models", "/v1/models/m", "/control"):
        assert client.get(path).headers["X-Stand-In"] == "stand-in"
    assert (
        "stand-in" in client.post("/v1/chat/completions", json=ASK).json()["choices"][0]["message"]["content"]
    )


def test_a_call_without_a_key_is_refused(client: TestClient) -> None:
    answer = client.get("/v1/models", headers={"Authorization": ""})

    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("body", ["{", "[]", "{}", '{"model": "m"}'])
def test_a_wrong_request_is_refused_in_the_shape_of_the_api(client: TestClient, body: str) -> None:
    answer = client.post("/v1/chat/completions", content=body)

    assert answer.status_code == 400
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_it_obeys_and_forgets_its_orders(client: TestClient) -> None:
    client.put("/control", json={"status": 429, "retry_after_s": 7})
    refused = client.get("/v1/models")
    client.delete("/control")

    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "7")
    assert client.get("/v1/models").status_code == 200


def test_only_the_ordered_share_of_calls_fails(client: TestClient) -> None:
    client.put("/control", json={"status": 500, "fail_ratio": 0.5})

    failed = sum(client.get("/v1/models").status_code == 500 for _ in range(100))

    assert 30 <= failed <= 70


def test_a_malformed_answer_is_no_json(client: TestClient) -> None:
    client.put("/control", json={"malformed": True})

    answer = client.post("/v1/chat/completions", json=ASK)

    assert answer.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        answer.json()


@pytest.mark.parametrize("order", [{"latency_ms": -1}, {"status": 200}, {"fail_ratio": 2}, {"typo": 1}])
def test_an_order_that_makes_no_sense_is_refused(client: TestClient, order: dict[str, object]) -> None:
    assert client.put("/control", json=order).status_code == 422
    assert client.get("/v1/models").status_code == 200


def test_being_slow_is_real(client: TestClient) -> None:
    client.put("/control", json={"latency_ms": 150})
    began = time.monotonic()

    client.get("/v1/models")

    assert time.monotonic() - began >= 0.15


@given(st.text(max_size=200))
def test_a_stream_says_what_the_whole_answer_says(question: str) -> None:
    request = {"model": "m", "messages": [{"role": "user", "content": question}]}

    whole = completion(request)["choices"][0]["message"]["content"]
    streamed = "".join(
        chunk["choices"][0]["delta"].get("content", "")
        for chunk in completion_chunks(request)
        if chunk["choices"]
    )

    assert whole == reply(request)
    assert streamed.rstrip(" ") == whole.rstrip(" ")


async def test_the_official_client_streams_embeds_and_meets_refusals(openai_standin: StandIn) -> None:
    client = openai.AsyncOpenAI(base_url=openai_standin.base_url, api_key="any", max_retries=0)
    async with client:
        stream = await client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "Well?"}], stream=True
        )
        said = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
        vector = (await client.embeddings.create(model="e", input="tee", dimensions=256)).data[0].embedding
        openai_standin.obey(status=429, retry_after_s=3)
        with pytest.raises(openai.RateLimitError) as refused:
            await client.models.list()
        openai_standin.obey()
        models = await client.models.list()

    assert said.startswith("[stand-in for OpenAI")
    assert len(vector) == 256
    assert math.isclose(sum(x * x for x in vector), 1, rel_tol=1e-5)
    assert refused.value.response.headers["retry-after"] == "3"
    assert models.data


def test_orders_are_taken_while_it_fails(openai_standin: StandIn) -> None:
    openai_standin.obey(status=500, latency_ms=2000)
    began = time.monotonic()

    openai_standin.obey()

    assert time.monotonic() - began < 1
    assert httpx.get(openai_standin.control_url, trust_env=False).json()["status"] is None

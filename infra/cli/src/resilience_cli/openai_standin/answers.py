"""Answers in the shapes of OpenAI's API reference, the same for the same question."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import struct
from collections.abc import Iterator
from typing import Any

LABEL = "stand-in"
MODELS = ("gpt-4o-mini", "text-embedding-3-small")
# A fixed moment, so that the same question gets the same bytes.
CREATED = 1_735_689_600
DIMENSIONS = 1536

Json = dict[str, Any]


def model(name: str) -> Json:
    """Describe a model; any name is one."""
    return {"id": name, "object": "model", "created": CREATED, "owned_by": LABEL}


def models() -> Json:
    """List the models."""
    return {"object": "list", "data": [model(name) for name in MODELS]}


def completion(request: Json) -> Json:
    """Answer a chat completion."""
    text = reply(request)
    message: Json = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return _head(request, "chat.completion") | {"choices": [choice], "usage": _usage(request, text)}


def completion_chunks(request: Json) -> Iterator[Json]:
    """Answer a streamed chat completion, word by word."""
    head, text = _head(request, "chat.completion.chunk"), reply(request)
    yield head | {"choices": [_delta({"role": "assistant", "content": ""})]}
    for word in text.split(" "):
        yield head | {"choices": [_delta({"content": f"{word} "})]}
    yield head | {"choices": [_delta({}, "stop")]}
    if (request.get("stream_options") or {}).get("include_usage"):
        yield head | {"choices": [], "usage": _usage(request, text)}


def embeddings(request: Json) -> Json:
    """Answer with one unit vector for each input."""
    given = request.get("input", "")
    texts = given if isinstance(given, list) else [given]
    size = int(request.get("dimensions") or DIMENSIONS)
    as_base64 = request.get("encoding_format") == "base64"
    vectors = [_vector(str(text), size) for text in texts]
    data = [
        {"object": "embedding", "index": index, "embedding": _packed(vector) if as_base64 else vector}
        for index, vector in enumerate(vectors)
    ]
    tokens = sum(_tokens(str(text)) for text in texts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": request.get("model"), "usage": usage}


def reply(request: Json) -> str:
    """Return what the assistant says: that it is none, and what it was asked."""
    kind = (request.get("response_format") or {}).get("type")
    asked = " ".join(_question(request).split())[:400]
    if kind in {"json_object", "json_schema"}:
        return json.dumps({"answer": f"[{LABEL} for OpenAI] {asked}"})
    return f"[{LABEL} for OpenAI, no model was asked] You asked: {asked}"


def _question(request: Json) -> str:
    asked = [message for message in request["messages"] if message.get("role") == "user"]
    content = asked[-1].get("content", "") if asked else ""
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content)
    return str(content)


def _head(request: Json, kind: str) -> Json:
    digest = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()[:24]
    return {
        "id": f"chatcmpl-{LABEL}-{digest}",
        "object": kind,
        "created": CREATED,
        "model": request["model"],
        "system_fingerprint": LABEL,
    }


def _delta(delta: Json, finish: str | None = None) -> Json:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}


def _usage(request: Json, text: str) -> Json:
    asked = sum(_tokens(str(message.get("content", ""))) for message in request["messages"])
    said = _tokens(text)
    return {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}


def _tokens(text: str) -> int:
    return max(1, len(text) // 4)


def _vector(text: str, size: int) -> list[float]:
    blocks = (hashlib.sha256(f"{index}/{text}".encode()).digest() for index in range(math.ceil(size / 16)))
    shorts = [number for block in blocks for number in struct.unpack("<16h", block)][:size]
    norm = math.sqrt(sum(number * number for number in shorts)) or 1.0
    return [number / norm for number in shorts]


def _packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()

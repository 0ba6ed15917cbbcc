"""The contracts as documents: a JSON Schema for each event and one AsyncAPI 3.0 document for all topics.

Pure: texts by file name. docs/contracts/generate.py writes them, a test checks that they are current.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .codec import SCHEMA_ROOT, schema_uri
from .event_types import EVENTS
from .events import Event
from .policy import Policy
from .topics import Topic

JSON_SCHEMA = "https://json-schema.org/draft/2020-12/schema"


def documents(topic_settings: Mapping[str, Mapping[str, Any]], version: str) -> dict[str, str]:
    """Return every document by file name.

    Args:
        topic_settings: Kafka channel binding (`partitions`, `topicConfiguration`) by topic name.
        version: version of the contracts.
    """
    texts = {f"{event.type}.json": _json(_event_schema(event)) for event in EVENTS}
    texts["policy.json"] = _json(_policy_schema())
    texts["asyncapi.json"] = _json(_asyncapi(topic_settings, version))
    return texts


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _schema(schema: dict[str, Any], identity: str) -> dict[str, Any]:
    return {"$schema": JSON_SCHEMA, "$id": identity, **schema}


def _policy_schema() -> dict[str, Any]:
    schema = Policy.model_json_schema()
    del schema["properties"]["sha256"]  # computed from the file, not written in it
    schema["required"].remove("sha256")
    return _schema(schema, f"{SCHEMA_ROOT}/policy.json")


def _event_schema(event: type[Event]) -> dict[str, Any]:
    return _schema(event.model_json_schema(mode="serialization"), schema_uri(event))


def _asyncapi(settings: Mapping[str, Mapping[str, Any]], version: str) -> dict[str, Any]:
    described = [topic for topic in Topic if _events_of(topic)]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Retail Resilience events",
            "version": version,
            "description": (
                "CloudEvents 1.0 in Kafka binary mode. A record without a value is a tombstone. "
                "Readers ignore fields they do not know and read an unknown level by its rank."
            ),
        },
        "defaultContentType": "application/json",
        "channels": {_id(topic): _channel(topic, settings.get(topic, {})) for topic in described},
        "operations": {f"publish.{_id(topic)}": _operation(topic) for topic in described},
        "components": {
            "messageTraits": {"cloudEvent": {"headers": _HEADERS}},
        },
    }


def _id(topic: Topic) -> str:
    return topic.name.lower().replace("_", "-")


def _events_of(topic: Topic) -> list[type[Event]]:
    return [event for event in EVENTS if event.topic is topic]


def _channel(topic: Topic, binding: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "address": str(topic),
        "messages": {event.type: _message(event) for event in _events_of(topic)},
        "bindings": {"kafka": {"topic": str(topic), **binding, "bindingVersion": "0.5.0"}},
    }


def _message(event: type[Event]) -> dict[str, Any]:
    return {
        "name": event.type,
        "summary": (event.__doc__ or "").strip().splitlines()[0],
        "contentType": "application/json",
        "traits": [{"$ref": "#/components/messageTraits/cloudEvent"}],
        "payload": {
            "schemaFormat": "application/schema+json;version=draft-2020-12",
            "schema": {"$ref": f"./{event.type}.json"},
        },
        "bindings": {"kafka": {"key": {"type": "string"}, "bindingVersion": "0.5.0"}},
    }


def _operation(topic: Topic) -> dict[str, Any]:
    channel = f"#/channels/{_id(topic)}"
    return {
        "action": "send",
        "channel": {"$ref": channel},
        "messages": [{"$ref": f"{channel}/messages/{event.type}"} for event in _events_of(topic)],
    }


_HEADERS: dict[str, Any] = {
    "type": "object",
    "required": ["ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "content-type"],
    "properties": {
        "ce_specversion": {"const": "1.0"},
        "ce_id": {"type": "string"},
        "ce_source": {"type": "string", "format": "uri-reference"},
        "ce_type": {"type": "string"},
        "ce_subject": {"type": "string"},
        "ce_time": {"type": "string", "format": "date-time"},
        "ce_dataschema": {"type": "string", "format": "uri"},
        "ce_traceparent": {"type": "string"},
        "content-type": {"const": "application/json"},
    },
}

"""Passwords of Kafka's users by SCRAM, changed by Kafka's own request (KIP-554): it never sees the password itself."""

from __future__ import annotations

import secrets
from hashlib import pbkdf2_hmac
from typing import Any

from aiokafka.errors import for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    CompactArray,
    CompactBytes,
    CompactString,
    Int8,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from resilience_runtime.errors import RuntimeFault

from .access import KafkaAccess, SaslMechanism
from .bare_client import ask, bare_client

SCRAM = {SaslMechanism.SCRAM_SHA_256: (1, "sha256"), SaslMechanism.SCRAM_SHA_512: (2, "sha512")}
"""The mechanisms that Kafka keeps passwords for, each by its number in the protocol, with its hash."""
ITERATIONS = 4096
"""Kafka's own default and least. More would protect a password that can be guessed."""
SALT_BYTES = 32


class PasswordError(RuntimeFault):
    """The broker did not change a password."""

    code = "password_failed"


async def set_password(kafka: KafkaAccess, user: str, password: str) -> None:
    """Give a user the password that it gets in with from now on by the mechanism of `kafka`. Makes a new user too.

    Open connections stay.

    Raises:
        PasswordError: the broker refuses, or does not answer; then it may have taken the password all the same.
    """
    number, hashed = SCRAM[kafka.mechanism]
    salt = secrets.token_bytes(SALT_BYTES)
    salted = pbkdf2_hmac(hashed, password.encode(), salt, ITERATIONS)
    async with bare_client(kafka, PasswordError) as client:
        answer = await ask(client, _Alter([(user, number, ITERATIONS, salt, salted, {})]))
    for _, code, reason, _ in answer.results:
        if code:
            raise PasswordError(f"{user}: {for_code(code).__name__}: {reason}")


class _AlterAnswer(Response):  # type: ignore[misc]  # aiokafka has no types
    API_KEY = 51
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "results",
            CompactArray(
                ("user", CompactString()),
                ("error_code", Int16),
                ("error_message", CompactString()),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _AlterFields(RequestStruct):  # type: ignore[misc]
    API_KEY = 51
    API_VERSION = 0
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _AlterAnswer
    SCHEMA = Schema(
        (
            "deletions",
            CompactArray(("name", CompactString()), ("mechanism", Int8), ("tags", TaggedFields)),
        ),
        (
            "upsertions",
            CompactArray(
                ("name", CompactString()),
                ("mechanism", Int8),
                ("iterations", Int32),
                ("salt", CompactBytes),
                ("salted_password", CompactBytes),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _Alter(Request[_AlterFields]):  # type: ignore[misc]
    """AlterUserScramCredentials, which aiokafka does not have."""

    API_KEY = 51

    def __init__(self, upsertions: list[tuple[Any, ...]]) -> None:
        self._upsertions = upsertions

    def build(self, fields: type[_AlterFields]) -> _AlterFields:
        return fields([], self._upsertions, {})

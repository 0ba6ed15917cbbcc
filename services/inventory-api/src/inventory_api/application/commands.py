"""Adjustments accepted while the authority is away: into the durable log, and later out of it, once."""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime
from typing import TypeVar
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

from inventory_api.domain.adjustment import Adjustment
from inventory_api.domain.count import Count
from inventory_api.domain.errors import KeyReusedError, UnknownOperationError
from inventory_api.domain.operation import Operation, OperationState
from resilience_contracts import AdjustmentCommand, CountCommand, encode
from resilience_runtime import Clock, EventPublisher, PublishError

from .answering import Request
from .errors import UnavailableError
from .store import Store

PUBLISH_DEADLINE_S = 2.0

Command = AdjustmentCommand | CountCommand

K = TypeVar("K")
T = TypeVar("T")


class Backlog:
    """The newest commands of the log, as every replica reads it, so that each can answer for all of them."""

    def __init__(self, most: int = 20_000) -> None:
        self._most = most
        self._operations: OrderedDict[str, Operation] = OrderedDict()
        self._keys: OrderedDict[tuple[str, str], str] = OrderedDict()

    def note(self, command: Command) -> None:
        """Remember a command."""
        operation = Operation(command.command_id, OperationState.ACCEPTED, command.accepted_at)
        _put(self._operations, command.command_id, operation, self._most)
        _put(self._keys, (command.actor, command.idempotency_key), command.request_sha256, self._most)

    def operation(self, command_id: str) -> Operation | None:
        """Return a command as it was accepted."""
        return self._operations.get(command_id)

    def sha256(self, caller: str, key: str) -> str | None:
        """Return the digest of the request that a caller's idempotency key came with."""
        return self._keys.get((caller, key))


def _put(entries: OrderedDict[K, T], key: K, value: T, most: int) -> None:
    entries[key] = value
    if len(entries) > most:
        entries.popitem(last=False)


def fresh_key() -> str:
    """Return an idempotency key for a request that came without one."""
    return f"server-{uuid4()}"


class Commands:
    """Takes adjustments and counts into the log, and tells where each stands."""

    def __init__(
        self, publisher: EventPublisher, store: Store, clock: Clock, source: str, backlog: Backlog
    ) -> None:
        self._publisher = publisher
        self._store = store
        self._clock = clock
        self._source = source
        self._backlog = backlog

    async def accept(self, write: Adjustment | Count, request: Request) -> Operation:
        """Store a write in the log, on every in-sync replica, and return its operation.

        The same request with the same key is the same command, however often it is stored.

        Raises:
            KeyReusedError: the key came with another request before.
            UnavailableError: the log is away too.
        """
        known = self._backlog.sha256(request.caller, request.key)
        if known is not None and known != request.sha256:
            raise KeyReusedError
        command = _command(write, request, self._clock.now())
        try:
            await self._publisher.publish(*encode(command, self._source), deadline_s=PUBLISH_DEADLINE_S)
        except PublishError as error:
            raise UnavailableError("kafka", "the command log does not take commands now") from error
        self._backlog.note(command)
        return Operation(command.command_id, OperationState.ACCEPTED, command.accepted_at)

    async def operation(self, command_id: str) -> Operation:
        """Return where a command stands.

        Raises:
            UnknownOperationError: nobody knows of it.
            UnavailableError, BusyError: nobody here knows of it, and the authority is away.
        """
        if not _is_ours(command_id):
            raise UnknownOperationError
        waiting = self._backlog.operation(command_id)
        try:
            async with self._store.reading() as transaction:
                finished = await transaction.commands.operation(command_id)
        except UnavailableError:
            if waiting is None:
                raise
            return waiting
        found = finished or waiting
        if found is None:
            raise UnknownOperationError
        return found


def _is_ours(command_id: str) -> bool:
    try:
        return str(UUID(command_id)) == command_id
    except ValueError:
        return False


def _command(write: Adjustment | Count, request: Request, now: datetime) -> Command:
    identity = str(uuid5(NAMESPACE_URL, f"{request.caller}\n{request.key}\n{request.sha256}"))
    if isinstance(write, Count):
        return CountCommand(
            command_id=identity,
            idempotency_key=request.key,
            request_sha256=request.sha256,
            sku=write.place.sku,
            location=write.place.location,
            counted=write.counted,
            reference=write.reference,
            actor=write.actor,
            occurred_at=write.occurred_at or now,
            accepted_at=now,
        )
    return AdjustmentCommand(
        command_id=identity,
        idempotency_key=request.key,
        request_sha256=request.sha256,
        sku=write.place.sku,
        location=write.place.location,
        delta=write.delta,
        reason=write.reason.value,
        reference=write.reference,
        actor=write.actor,
        occurred_at=write.occurred_at,
        accepted_at=now,
    )

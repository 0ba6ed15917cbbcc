"""Take one command out of the log: exactly once, in the transaction that moves the log's offset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from inventory_api.domain.adjustment import Adjustment, Reason
from inventory_api.domain.count import Count
from inventory_api.domain.errors import InvalidAdjustmentError, InventoryError, KeyReusedError
from inventory_api.domain.operation import Operation, OperationState
from inventory_api.domain.stock import Place
from resilience_contracts import AdjustmentCommand, CountCommand

from .adjusting import Adjusted, adjust
from .commands import Command
from .counting import Counted, count_stock
from .store import Answer, Kept, Store, Transaction

_REFUSED = "The same request under the same key had been refused before it was accepted for later."

RenderApplied = Callable[[Adjusted | Counted], Answer]


async def apply_command(
    store: Store, command: Command, partition: int, offset: int, render: RenderApplied
) -> Operation | None:
    """Apply a command and write its outcome; None when the log's offset says that it has been done before.

    What cannot be applied (it would take held stock, the SKU is unknown, its key belongs to another request)
    becomes an exception for a person. A request that was in fact done directly, its answer lost, counts as applied; one
    that was in fact refused is an exception with the refusal that is kept for its key.
    """
    async with store.transaction() as transaction:
        if offset < await transaction.commands.lock_offset(partition):
            return None
        operation = await _outcome(transaction, command, render)
        await transaction.commands.finish(operation, command.model_dump_json())
        await transaction.commands.move_offset(partition, offset + 1)
        return operation


async def skip(store: Store, partition: int, offset: int) -> None:
    """Move past a record that is no command."""
    async with store.transaction() as transaction:
        if offset >= await transaction.commands.lock_offset(partition):
            await transaction.commands.move_offset(partition, offset + 1)


async def _outcome(transaction: Transaction, command: Command, render: RenderApplied) -> Operation:
    accepted = Operation(command.command_id, OperationState.ACCEPTED, command.accepted_at)
    done = await transaction.commands.operation(command.command_id)
    if done is not None:
        return done
    try:
        kept = await _apply(transaction, command, render)
    except InventoryError as error:
        return replace(accepted, state=OperationState.EXCEPTION, code=error.code, detail=error.detail)
    if kept is not None and kept.refused:
        return replace(accepted, state=OperationState.EXCEPTION, code=kept.code, detail=_REFUSED)
    return replace(accepted, state=OperationState.APPLIED)


async def _apply(transaction: Transaction, command: Command, render: RenderApplied) -> Answer | None:
    """Apply a command; return the answer that its key has had already, if it has."""
    kept = await transaction.answers.claim(command.actor, command.idempotency_key, wait=True)
    if kept is not None and kept.request_sha256 != command.request_sha256:
        raise KeyReusedError
    if kept is not None:
        return kept.answer
    async with transaction.savepoint():
        applied = await _write(transaction, command)
    await transaction.answers.keep(
        command.actor, command.idempotency_key, Kept(command.request_sha256, render(applied))
    )
    return None


async def _write(transaction: Transaction, command: Command) -> Adjusted | Counted:
    if isinstance(command, CountCommand):
        return await count_stock(transaction, _count(command))
    return await adjust(transaction, _adjustment(command))


def _count(command: CountCommand) -> Count:
    return Count(
        place=Place(command.sku, command.location),
        counted=command.counted,
        actor=command.actor,
        occurred_at=command.occurred_at,
        reference=command.reference,
        command_id=command.command_id,
    )


def _adjustment(command: AdjustmentCommand) -> Adjustment:
    try:
        reason = Reason(command.reason)
    except ValueError:
        raise InvalidAdjustmentError(f"{command.reason} is not a reason") from None
    return Adjustment(
        place=Place(command.sku, command.location),
        delta=command.delta,
        reason=reason,
        actor=command.actor,
        occurred_at=command.occurred_at,
        reference=command.reference,
        command_id=command.command_id,
    )

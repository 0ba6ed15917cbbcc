"""Outcomes and progress of the command log in PostgreSQL."""

from __future__ import annotations

from sqlalchemy import text

from inventory_api.domain.operation import Operation, OperationState

from .session import Row, Session

_OPERATION = text("SELECT * FROM operations WHERE command_id = :id")
_EXCEPTIONS = text("""
    SELECT * FROM operations WHERE state = 'exception' AND command_id > :after ORDER BY command_id LIMIT :limit
""")
_FINISH = text("""
    INSERT INTO operations (command_id, state, code, detail, command, accepted_at)
    VALUES (:id, :state, :code, :detail, CAST(:command AS jsonb), :accepted_at)
    ON CONFLICT DO NOTHING
""")
_START = text(
    "INSERT INTO command_offsets (partition, next_offset) VALUES (:partition, 0) ON CONFLICT DO NOTHING"
)
_OFFSETS = text("SELECT partition, next_offset FROM command_offsets")
_LOCK = text("SELECT next_offset FROM command_offsets WHERE partition = :partition FOR UPDATE")
_MOVE = text("UPDATE command_offsets SET next_offset = :next_offset WHERE partition = :partition")


class SqlCommands:
    """Outcomes and progress over one session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def operation(self, command_id: str) -> Operation | None:
        """Return a command's outcome."""
        row = (await self._session.execute(_OPERATION, {"id": command_id})).first()
        return _operation_of(row) if row else None

    async def exceptions(self, after: str, limit: int) -> list[Operation]:
        """Return a page of commands that wait for a person."""
        rows = await self._session.execute(_EXCEPTIONS, {"after": after, "limit": limit})
        return [_operation_of(row) for row in rows]

    async def finish(self, operation: Operation, command_json: str) -> None:
        """Write a command's outcome; the first one stays."""
        values = {
            "id": operation.id,
            "state": operation.state.value,
            "code": operation.code,
            "detail": operation.detail,
            "command": command_json,
            "accepted_at": operation.accepted_at,
        }
        await self._session.execute(_FINISH, values)

    async def offsets(self) -> dict[int, int]:
        """Return the progress of every partition."""
        return {row.partition: row.next_offset for row in await self._session.execute(_OFFSETS)}

    async def lock_offset(self, partition: int) -> int:
        """Lock a partition's progress."""
        await self._session.execute(_START, {"partition": partition})
        return int((await self._session.execute(_LOCK, {"partition": partition})).scalar_one())

    async def move_offset(self, partition: int, next_offset: int) -> None:
        """Write a partition's progress."""
        await self._session.execute(_MOVE, {"partition": partition, "next_offset": next_offset})


def _operation_of(row: Row) -> Operation:
    return Operation(
        id=row["command_id"],
        state=OperationState(row["state"]),
        accepted_at=row["accepted_at"],
        finished_at=row["finished_at"],
        code=row["code"],
        detail=row["detail"],
    )

"""Every invariant asked of a database at once."""

from __future__ import annotations

import asyncpg

from inventory_api.adapters.auditing import audit


async def violations(url: str) -> dict[str, int]:
    """Return the audits that found something; none is right."""
    connection = await asyncpg.connect(url, timeout=10)
    try:
        return {name: found for name, found in (await audit(connection)).items() if found}
    finally:
        await connection.close()

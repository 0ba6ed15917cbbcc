"""PostgreSQL through SQLAlchemy and asyncpg."""

from __future__ import annotations

"""Old and new version run side by side: a migration takes nothing from the version before, unless it says so.

A migration that does is a contract: its module says `contract = "why no version that still runs misses it"`, and it comes
one release after the one that stopped using what goes (docs/runbooks/deployment.md).
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
from alembic import op

VERSIONS = sorted(Path("services/inventory-api/src/inventory_api/migrations/versions").glob("[0-9]*.py"))
BEFORE_THE_RULE = {
    "0004": "triggers of rows become triggers of statements in one transaction; no version names them",
    "0006": "a check becomes looser: what the version before writes passes both",
}
"""A migration is never edited, so that these say it here."""
TAKES = {
    "drops": r"\bDROP\s+(?!INDEX\b)\w+",
    "renames": r"\bRENAME\b",
    "changes a column's type": r"\bALTER\s+(COLUMN\s+)?\w+\s+(SET\s+DATA\s+)?TYPE\b",
    "refuses nulls that were fine": r"\bSET\s+NOT\s+NULL\b",
    "adds a constraint that may refuse what the version before writes": (
        r"\bADD\s+(CONSTRAINT|CHECK|UNIQUE|FOREIGN|PRIMARY)\b"
    ),
    "empties a table": r"\b(TRUNCATE|DELETE\s+FROM)\b",
    "makes unique what was not": r"\bCREATE\s+UNIQUE\s+INDEX\b",
}
ACTIONS = re.compile(r",\s*(?=(?:ADD|ALTER|DROP|VALIDATE)\b)", re.IGNORECASE)
"""Between two actions of one ALTER TABLE."""
FILLED = re.compile(r"\b(DEFAULT|GENERATED)\b", re.IGNORECASE)
REQUIRED = re.compile(r"\bADD\b(?!\s+CONSTRAINT).*\bNOT\s+NULL\b", re.IGNORECASE | re.DOTALL)


def takes(statement: str) -> list[str]:
    """Say what a statement takes from a version that does not know of it. Bodies of functions and texts are left out."""
    bare = re.sub(r"\$(\w*)\$.*?\$\1\$|'[^']*'|--[^\n]*|/\*.*?\*/", " ", statement, flags=re.DOTALL)
    if re.match(r"\s*CREATE\s+(TABLE|FUNCTION|TRIGGER|VIEW|TYPE|SEQUENCE)\b", bare, re.IGNORECASE):
        return []
    found = [what for what, pattern in TAKES.items() if re.search(pattern, bare, re.IGNORECASE)]
    to_fill = any(REQUIRED.search(each) and not FILLED.search(each) for each in ACTIONS.split(bare))
    return found + ["adds a column that the version before would have to fill"] * to_fill


def loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"migration_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", VERSIONS, ids=lambda path: path.stem)
def test_a_migration_takes_nothing_from_the_version_before_unless_it_says_why_it_may(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, statements = loaded(path), list[str]()
    monkeypatch.setattr(op, "execute", statements.append)

    module.upgrade()

    taken = {what for statement in statements for what in takes(statement)}
    reason = getattr(module, "contract", BEFORE_THE_RULE.get(module.revision, ""))
    assert statements
    assert bool(taken) == bool(reason), taken or "it is marked as a contract and takes nothing"


@pytest.mark.parametrize("path", VERSIONS, ids=lambda path: path.stem)
def test_a_migration_speaks_sql_and_has_a_way_down_and_one_before_it(path: Path) -> None:
    module = loaded(path)
    number = int(module.revision)

    assert set(re.findall(r"\bop\.(\w+)", path.read_text(encoding="utf-8"))) == {"execute"}
    assert callable(module.downgrade)
    assert module.down_revision == (f"{number - 1:04}" if number > 1 else None)


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE skus DROP COLUMN name",
        "alter table skus\n  drop column name",
        "DROP TABLE skus",
        "DROP FUNCTION f",
        "ALTER TABLE skus RENAME COLUMN name TO title",
        "ALTER TABLE skus RENAME TO articles",
        "ALTER TABLE skus ALTER COLUMN name TYPE varchar(10)",
        "ALTER TABLE skus ALTER name SET DATA TYPE varchar(10)",
        "ALTER TABLE skus ALTER COLUMN category SET NOT NULL",
        "ALTER TABLE skus ADD COLUMN colour text NOT NULL",
        "ALTER TABLE skus ADD colour text NOT NULL",
        "ALTER TABLE skus ADD COLUMN colour text NOT NULL, ADD COLUMN size text NOT NULL DEFAULT 'M'",
        "ALTER TABLE skus ADD COLUMN size text NOT NULL DEFAULT 'M', ADD COLUMN colour text NOT NULL",
        "ALTER TABLE skus ADD CONSTRAINT short CHECK (length(name) < 9)",
        "ALTER TABLE skus ADD CHECK (length(name) < 9)",
        "ALTER TABLE skus ADD UNIQUE (name)",
        "CREATE UNIQUE INDEX skus_name ON skus (name)",
        "TRUNCATE answers",
        "DELETE FROM answers",
    ],
)
def test_what_the_version_before_would_miss_is_found(statement: str) -> None:
    assert takes(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE colours (name text NOT NULL UNIQUE)",
        "ALTER TABLE skus ADD COLUMN colour text",
        "ALTER TABLE skus ADD COLUMN size bigint NOT NULL DEFAULT 0 CHECK (size >= 0)",
        "ALTER TABLE skus ADD COLUMN size bigint DEFAULT 0 NOT NULL",
        "ALTER TABLE skus ADD COLUMN id2 bigint NOT NULL GENERATED ALWAYS AS IDENTITY",
        "ALTER TABLE skus ADD COLUMN colour text, ADD COLUMN size bigint NOT NULL DEFAULT 0",
        "CREATE INDEX skus_name ON skus (name)",
        "DROP INDEX skus_name",
        "INSERT INTO notes VALUES ('DROP TABLE skus')",
        "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN DELETE FROM low_stock; END $$",
    ],
)
def test_what_only_adds_is_fine(statement: str) -> None:
    assert takes(statement) == []

"""Backups of a real database, damaged and whole."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import asyncpg
import pytest

from resilience_cli.backup import LOCK, back_up, draft_of, sums_of
from resilience_cli.backup_key import BackupKey
from resilience_cli.database import dump
from resilience_cli.errors import StackError
from resilience_cli.restore import _set_aside, restore
from resilience_cli.stack import run_apart
from resilience_cli.stack.certificates import AUTHORITY, VALID, write_certificates
from tests.cli.command import RESILIENCE
from tests.fixtures.processes import ended
from tests.fixtures.tls import SSL_REQUEST, speaking_no_tls, speaking_tls
from tests.inventory_api.databases import migrate

FILL = """
    INSERT INTO locations (code, code_fold, name, kind) VALUES ('shop', 'shop', 'Shop', 'store');
    INSERT INTO skus (sku, sku_fold, name, safety_stock, reorder_point)
    SELECT 'S' || n, 's' || n, 'Thing', 0, 0 FROM generate_series(1, 50) n;
    INSERT INTO stock_levels (sku_id, location_id, on_hand, safety_stock, reorder_point, ledger_sequence)
    SELECT id, 1, 7, 0, 0, 1 FROM skus;
    INSERT INTO ledger (level_id, sequence, delta, before, after, reason, actor, occurred_at)
    SELECT id, 1, 7, 0, 7, 'RECEIPT', 'me', now() FROM stock_levels;
"""


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def value(url: str, query: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def databases(url: str) -> set[str]:
    connection = await asyncpg.connect(url)
    try:
        return {row[0] for row in await connection.fetch("SELECT datname FROM pg_database")}
    finally:
        await connection.close()


@pytest.fixture
def stock_url(database_url: str) -> Iterator[str]:
    """A database with fifty levels of seven; what a restore left beside it is dropped."""
    migrate(database_url)
    run_apart(execute(database_url, FILL))
    yield database_url
    server, _, name = database_url.rpartition("/")
    for other in run_apart(databases(f"{server}/postgres")):
        if other.startswith(f"{name}_"):
            run_apart(execute(f"{server}/postgres", f'DROP DATABASE "{other}" WITH (FORCE)'))


def test_a_backup_is_proved_and_restores_what_was_there(stock_url: str, tmp_path: Path) -> None:
    file = tmp_path / "stock.dump"
    before = run_apart(databases(stock_url))

    proof = run_apart(back_up(stock_url, file))

    assert (proof.rows["ledger"], proof.rows["stock_levels"]) == (50, 50)
    assert (tmp_path / "stock.dump.sha256").read_text() == f"{proof.sha256}  stock.dump\n"
    assert file.stat().st_mode & 0o077 == 0
    assert run_apart(databases(stock_url)) == before

    run_apart(execute(stock_url, "UPDATE stock_levels SET on_hand = 1"))
    restored = run_apart(restore(stock_url, file, None))

    assert restored.proof.rows == proof.rows
    assert run_apart(value(stock_url, "SELECT sum(on_hand)::int FROM stock_levels")) == 350
    assert restored.old in run_apart(databases(stock_url))


def test_a_damaged_backup_changes_nothing(stock_url: str, tmp_path: Path) -> None:
    file = tmp_path / "stock.dump"
    run_apart(back_up(stock_url, file))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    before = run_apart(databases(stock_url))

    with pytest.raises(StackError, match="checksum"):
        run_apart(restore(stock_url, file, None))

    assert run_apart(databases(stock_url)) == before


def test_books_that_do_not_balance_are_not_restored(stock_url: str, tmp_path: Path) -> None:
    file = tmp_path / "stock.dump"
    run_apart(execute(stock_url, "UPDATE stock_levels SET on_hand = 8 WHERE id = 3"))
    run_apart(back_up(stock_url, file))
    before = run_apart(databases(stock_url))

    with pytest.raises(StackError, match="1 stock levels"):
        run_apart(restore(stock_url, file, None))

    assert run_apart(databases(stock_url)) == before


def test_a_database_that_is_away_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="does not answer"):
        run_apart(back_up("postgresql://nobody:secret@127.0.0.1:9/none", tmp_path / "x.dump"))

    assert not list(tmp_path.iterdir())


@pytest.fixture
def key(tmp_path: Path) -> BackupKey:
    return new_key(tmp_path / "backup.key")


def new_key(file: Path) -> BackupKey:
    BackupKey.create(file)
    return BackupKey.load(file)


def test_an_encrypted_backup_is_restored_with_its_key_and_shows_nothing(
    stock_url: str, tmp_path: Path, key: BackupKey
) -> None:
    file = tmp_path / "stock.dump.age"

    proof = run_apart(back_up(stock_url, file, key))
    run_apart(execute(stock_url, "UPDATE stock_levels SET on_hand = 1"))
    run_apart(restore(stock_url, file, None, key))

    assert proof.rows["ledger"] == 50
    assert file.read_bytes().startswith(b"age-encryption.org/v1")
    assert b"stock_levels" not in file.read_bytes()
    assert run_apart(value(stock_url, "SELECT sum(on_hand)::int FROM stock_levels")) == 350


@pytest.mark.parametrize("fault", ["no key", "another key", "cut off", "changed"])
def test_what_does_not_open_changes_nothing(
    stock_url: str, tmp_path: Path, key: BackupKey, fault: str
) -> None:
    file = tmp_path / "stock.dump.age"
    run_apart(back_up(stock_url, file, key))
    content = bytearray(file.read_bytes())
    keys = {"no key": None, "another key": new_key(tmp_path / "another.key")}
    if fault == "cut off":
        del content[-20:]
    if fault == "changed":
        content[len(content) // 2] ^= 1
    file.write_bytes(content)
    noted = subprocess.run(["sha256sum", file.name], cwd=tmp_path, capture_output=True, check=True)
    sums_of(file).write_bytes(noted.stdout)  # whoever changed the file changed its checksum too
    before = run_apart(databases(stock_url))

    with pytest.raises(StackError, match=r"is encrypted|does not open|damaged or cut off"):
        run_apart(restore(stock_url, file, None, keys.get(fault, key)))

    assert run_apart(databases(stock_url)) == before


def test_a_key_that_others_may_read_is_refused(tmp_path: Path, key: BackupKey) -> None:
    file = tmp_path / "backup.key"
    assert file.stat().st_mode & 0o077 == 0
    file.chmod(0o640)

    with pytest.raises(StackError, match="others may read"):
        BackupKey.load(file)
    with pytest.raises(StackError, match="cannot be written"):
        BackupKey.create(file)


def test_what_is_no_key_is_refused(tmp_path: Path) -> None:
    for number, text in enumerate(
        ("", "AGE-SECRET-KEY-1QQ", "AGE-SECRET-KEY-1Q\nAGE-SECRET-KEY-1Q", "\u00e9")
    ):
        file = tmp_path / str(number)
        file.touch(mode=0o600)
        file.write_text(text, encoding="utf-8")
        with pytest.raises(StackError, match=f"{number} (holds no key|cannot be read)"):
            BackupKey.load(file)


def read_all(pipe: IO[bytes]) -> None:
    pipe.read()


def by_tls(url: str, port: int, authority: Path) -> str:
    parts = urlsplit(url)
    place = parts.netloc.rpartition(":")[0] + f":{port}"
    return parts._replace(netloc=place, query=f"sslmode=verify-full&sslrootcert={authority}").geturl()


async def test_backup_and_restore_by_tls_with_the_password_from_a_file(
    stock_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_certificates(tmp_path)
    parts = urlsplit(stock_url)
    passwords = tmp_path / "passwords"
    passwords.touch(mode=0o600)
    passwords.write_text(f"*:*:*:{parts.username}:{parts.password}\n", encoding="utf-8")
    monkeypatch.setenv("PGPASSFILE", str(passwords))
    without = stock_url.replace(f":{parts.password}@", "@")
    file = tmp_path / "stock.dump"

    async with speaking_tls(parts.port or 5432, tmp_path / VALID, asked_first=True) as port:
        url = by_tls(without, port, tmp_path / AUTHORITY)
        proof = await back_up(url, file)
        await execute(stock_url, "UPDATE stock_levels SET on_hand = 1")
        restored = await restore(url, file, None)

    assert restored.proof.rows == proof.rows
    assert await value(stock_url, "SELECT sum(on_hand)::int FROM stock_levels") == 350


async def test_a_server_that_is_not_trusted_gets_no_password_and_leaves_no_file(
    stock_url: str, tmp_path: Path
) -> None:
    for folder in ("ours", "theirs", "backups"):
        (tmp_path / folder).mkdir()
    write_certificates(tmp_path / "ours")
    write_certificates(tmp_path / "theirs")
    upstream = urlsplit(stock_url).port or 5432

    async with speaking_tls(upstream, tmp_path / "theirs" / VALID, asked_first=True) as port:
        with pytest.raises(StackError, match="CERTIFICATE_VERIFY_FAILED"):
            await back_up(by_tls(stock_url, port, tmp_path / "ours" / AUTHORITY), tmp_path / "backups" / "x")

    assert not list((tmp_path / "backups").iterdir())


async def test_what_is_smuggled_in_before_tls_is_not_taken_for_the_servers_word(
    stock_url: str, tmp_path: Path
) -> None:
    write_certificates(tmp_path)
    fields = b"SFATAL\0VFATAL\0C28000\0Msmuggled\0\0"
    error = b"E" + (len(fields) + 4).to_bytes(4, "big") + fields
    upstream = urlsplit(stock_url).port or 5432

    async with speaking_tls(upstream, tmp_path / VALID, asked_first=True, smuggled=error) as port:
        with pytest.raises(StackError, match="pg_dump failed") as caught:
            await dump(by_tls(stock_url, port, tmp_path / AUTHORITY), read_all)

    assert "smuggled" not in str(caught.value)
    assert "while processing the request" in str(caught.value)


async def test_a_server_without_tls_is_refused_where_tls_is_asked_for(tmp_path: Path) -> None:
    async with speaking_no_tls() as (port, heard):
        with pytest.raises(StackError, match="does not answer"):
            await back_up(f"postgresql://me:a-password@127.0.0.1:{port}/x?sslmode=require", tmp_path / "x")

    assert heard == SSL_REQUEST


async def test_there_are_never_two_at_once(stock_url: str, tmp_path: Path) -> None:
    name = stock_url.rpartition("/")[2]
    other = await asyncpg.connect(f"{stock_url.rpartition('/')[0]}/postgres")
    try:
        await other.execute("SELECT pg_advisory_lock($1, hashtext($2))", LOCK, name)
        with pytest.raises(StackError, match="another backup"):
            await back_up(stock_url, tmp_path / "x.dump")
    finally:
        await other.close()


def test_what_a_killed_backup_left_is_cleared_away(stock_url: str, tmp_path: Path) -> None:
    name = stock_url.rpartition("/")[2]
    before = run_apart(databases(stock_url))
    run_apart(execute(stock_url, f'CREATE DATABASE "{name}_check_0123abcd"'))
    draft_of(stock_url, tmp_path / "stock-20261127T120000.dump").write_bytes(b"half")

    run_apart(back_up(stock_url, tmp_path / "x.dump"))

    assert run_apart(databases(stock_url)) == before
    assert {file.name for file in tmp_path.iterdir()} == {"x.dump", "x.dump.sha256"}


def test_what_another_database_is_writing_into_the_same_folder_is_left_alone(
    stock_url: str, tmp_path: Path
) -> None:
    theirs = draft_of(f"{stock_url}_other", tmp_path / "stock-20261127T120000.dump")
    theirs.write_bytes(b"half")

    run_apart(back_up(stock_url, tmp_path / "stock-20261127T120000.dump"))

    assert theirs.read_bytes() == b"half"


def test_a_schedule_makes_backups_until_it_is_told_to_stop(stock_url: str, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    argv = [str(RESILIENCE), "backup", str(folder), "--schedule", "1s", "--keep-hourly", "2", "--json"]
    env = {**os.environ, "DATABASE_URL": stock_url}
    before = run_apart(databases(stock_url))

    with ended(subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)) as process:
        assert process.stdout
        # A file is there before its line is: who looks for files may stop the process between the two.
        told = [process.stdout.readline() for _ in range(2)]
        process.send_signal(signal.SIGTERM)
        _, complaints = process.communicate(timeout=20)

    assert (process.returncode, complaints) == (0, b"")
    assert all(b"sha256" in line for line in told)
    assert list(folder.glob("stock-*.sha256"))
    assert not list(folder.glob(".*"))
    assert run_apart(databases(stock_url)) == before


def test_a_schedule_survives_a_database_that_is_away_and_says_so(tmp_path: Path) -> None:
    argv = [str(RESILIENCE), "backup", str(tmp_path / "backups"), "--schedule", "1s"]
    env = {**os.environ, "DATABASE_URL": "postgresql://nobody:a-secret@127.0.0.1:9/none"}

    with ended(subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)) as process:
        assert process.stderr
        lines = [process.stderr.readline() for _ in range(2)]
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=20)

    assert process.returncode == 3
    assert all(b"does not answer" in line and b"Remedy" in line for line in lines)
    assert b"a-secret" not in b"".join(lines) + rest


async def test_a_database_that_could_not_be_set_aside_is_open_again(
    stock_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resilience_cli.restore._CUT", "SELECT $1::text")  # somebody stays connected
    somebody = await asyncpg.connect(stock_url)
    maintenance = await asyncpg.connect(f"{stock_url.rpartition('/')[0]}/postgres")
    try:
        with pytest.raises(asyncpg.ObjectInUseError):
            async with _set_aside(maintenance, stock_url):
                pass
    finally:
        await somebody.close()
        await maintenance.close()

    another = await asyncpg.connect(stock_url)
    assert await another.fetchval("SELECT 1") == 1
    await another.close()

"""`resilience keys`: API keys for inventory-api and flag-service, passwords of Kafka, and keys of backups."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError

from resilience_cli.backup_key import BackupKey
from resilience_cli.console import EXIT_CODES
from resilience_cli.errors import StackError
from resilience_cli.kafka_password import renew_password
from resilience_cli.stack.keys import SCOPES
from resilience_cli.target import find_target
from resilience_runtime import KeyEntry, create_key

app = typer.Typer(
    help="API keys: made here, shown once, kept as SHA-256. And passwords of Kafka and keys of backups.",
    no_args_is_help=True,
)

_ENTRIES = TypeAdapter(tuple[KeyEntry, ...])


@app.callback()
def keys() -> None:
    """Hold the verbs together."""


@app.command(epilog=EXIT_CODES)
def create(
    name: Annotated[
        str, typer.Argument(help="Who the key is for; it becomes the actor of what is done with it.")
    ],
    scope: Annotated[list[str], typer.Option(help=f"What it may do; one or more of {', '.join(SCOPES)}.")],
    file: Annotated[Path, typer.Option(help="The file that API_KEYS_FILE names.")] = Path("api-keys.json"),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document, for programs.")] = False,
) -> None:
    """Add a key to a file of keys and print it, this once. A running service reads the file again by itself.

    The file holds no key, only hashes of 256 random bits, so that any user of the machine may read it: services
    in containers run as another user.
    """
    unknown = set(scope) - set(SCOPES)
    if unknown:
        raise StackError(f"no such scope: {', '.join(sorted(unknown))}", f"use {', '.join(SCOPES)}")
    try:
        secret, entry = create_key(name, frozenset(scope))
    except ValidationError as error:
        raise StackError(f"{name!r} is no name for a key", "it has 1 to 100 characters") from error
    _write(file, (*_known(file), entry))
    document = {"name": name, "scopes": sorted(scope), "key": secret, "file": str(file)}
    typer.echo(json.dumps(document) if as_json else secret)


@app.command(epilog=EXIT_CODES)
def kafka(
    user: Annotated[str, typer.Argument(help="Whose password; a principal of infra/kafka/acls.yaml.")],
    file: Annotated[
        Path, typer.Option(help="The file that KAFKA_SASL_PASSWORD_FILE names where it is used; it is there.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document, for programs.")] = False,
) -> None:
    """Give a user of Kafka another password: first in Kafka, at once after it in the file. Nothing is restarted.

    New connections prove themselves by it; what comes in between tries again. Open ones go on as they are until
    they end.
    """
    renew_password(find_target().kafka, user, file)
    document = {"user": user, "file": str(file)}
    typer.echo(json.dumps(document) if as_json else f"{user} has another password, in Kafka and in {file}")


@app.command(epilog=EXIT_CODES)
def backup(
    file: Annotated[Path, typer.Argument(help="Where to; it must not be there yet.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document, for programs.")] = False,
) -> None:
    """Write a key that encrypts backups and opens them, for its owner alone. Keep a copy elsewhere.

    It is a key of age: without this command, `age --decrypt --identity FILE` opens a backup.
    """
    BackupKey.create(file)
    typer.echo(json.dumps({"file": str(file)}) if as_json else str(file))


def _write(file: Path, entries: Iterable[KeyEntry]) -> None:
    """Put a list of keys in a file's place, whole or not at all."""
    fresh = file.with_name(f".{file.name}.new")
    try:
        document = json.dumps([entry.model_dump(mode="json") for entry in entries], indent=2)
        fresh.write_text(document + "\n", encoding="utf-8")
        fresh.chmod(0o644)
        fresh.replace(file)
    except OSError as error:
        raise StackError(f"{file} cannot be written: {error.strerror}", "name another --file") from error


def _known(file: Path) -> tuple[KeyEntry, ...]:
    try:
        return _ENTRIES.validate_json(file.read_bytes())
    except FileNotFoundError:
        return ()
    except (OSError, ValidationError) as error:
        raise StackError(f"{file} is not a list of keys", "name another --file, or mend this one") from error

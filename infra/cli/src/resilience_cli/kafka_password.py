"""Another password for a user of Kafka, in Kafka and in the file that its processes read."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resilience_runtime.kafka.access import KafkaAccess
from resilience_runtime.kafka.passwords import SCRAM, PasswordError, set_password

from .apart import run_apart
from .errors import StackError
from .rights import declared_rights


def renew_password(kafka: KafkaAccess, user: str, file: Path) -> None:
    """Make a password, tell it to Kafka, and put it into the file at once after that.

    Raises:
        StackError: the user is not declared, the file cannot be replaced, Kafka keeps no passwords, refuses or is
            away. The file is as it was then; where Kafka did not answer, doing it again mends what it may have taken.
    """
    principals = declared_rights()
    if user not in principals:
        raise StackError(f"{user!r} is no principal of ours", f"use {', '.join(sorted(principals))}")
    if not kafka.protocol.authenticated or kafka.mechanism not in SCRAM:
        raise StackError(
            f"Kafka at {kafka.bootstrap} is not entered by SCRAM, whose passwords alone are in Kafka",
            "name a Kafka with SCRAM, and a super user of it, by the KAFKA_ variables",
        )
    password = secrets.token_urlsafe(24)
    with _replaced(file, password):
        try:
            run_apart(set_password(kafka, user, password))
        except PasswordError as error:
            remedy = (
                "see that Kafka answers and the KAFKA_ variables name a super user of it, and do it again"
            )
            raise StackError(str(error), remedy) from error


@contextmanager
def _replaced(file: Path, text: str) -> Iterator[None]:
    """Have a file's next content on disk while inside, and put it in its place at the end, unless there is an error."""
    try:
        before = file.stat()
        if not stat.S_ISREG(before.st_mode):
            raise StackError(f"{file} is no file", "name the file that the service reads")
        fresh = file.with_name(f".{file.name}.new")
        fresh.touch(mode=0o600, exist_ok=False)
        try:
            fresh.write_text(text, encoding="utf-8")
            os.chown(fresh, before.st_uid, before.st_gid)  # whoever reads the file may be another user
            fresh.chmod(stat.S_IMODE(before.st_mode))
            yield
        except Exception:  # and not what interrupts: Kafka may have taken it then, and nothing else has it
            fresh.unlink(missing_ok=True)
            raise
        fresh.replace(file)
    except FileExistsError as error:
        raise StackError(
            f"{fresh} is there: another change is under way, or was cut off",
            "wait for it; if there is none, remove that file and do it again",
        ) from error
    except OSError as error:
        raise StackError(
            f"{file} cannot be replaced ({error.strerror})",
            "name the file that the service reads, or mend it",
        ) from error

"""The file of a password of Kafka, whatever becomes of telling it to Kafka."""

from __future__ import annotations

from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from resilience_cli.errors import StackError
from resilience_cli.kafka_password import renew_password
from resilience_runtime.kafka.access import KafkaAccess, SecurityProtocol
from resilience_runtime.kafka.passwords import PasswordError

USER = "flag-service"
KAFKA = KafkaAccess(
    "127.0.0.1:9", SecurityProtocol.SASL_PLAINTEXT, username="admin", password=SecretStr("made-up")
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "password"
    file.write_text("former", encoding="utf-8")
    file.chmod(0o640)
    return file


def told_to_kafka(monkeypatch: pytest.MonkeyPatch, end: BaseException | None) -> None:
    """Have Kafka take a password, or end so."""

    def act(coroutine: Coroutine[Any, Any, None]) -> None:
        coroutine.close()
        if end:
            raise end

    monkeypatch.setattr("resilience_cli.kafka_password.run_apart", act)


def test_what_kafka_took_is_in_the_file_with_its_rights(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    told_to_kafka(monkeypatch, None)

    renew_password(KAFKA, USER, file)

    assert len(file.read_text(encoding="utf-8")) == 32
    assert file.stat().st_mode & 0o777 == 0o640
    assert list(file.parent.iterdir()) == [file]


def test_what_kafka_refused_is_nowhere(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    told_to_kafka(monkeypatch, PasswordError("Kafka refuses"))

    with pytest.raises(StackError, match="Kafka refuses"):
        renew_password(KAFKA, USER, file)

    assert file.read_text(encoding="utf-8") == "former"
    assert list(file.parent.iterdir()) == [file]


def test_an_interrupt_keeps_what_kafka_may_have_taken_and_the_next_try_says_where(
    monkeypatch: pytest.MonkeyPatch, file: Path
) -> None:
    told_to_kafka(monkeypatch, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        renew_password(KAFKA, USER, file)

    kept = file.with_name(".password.new")
    assert file.read_text(encoding="utf-8") == "former"
    assert len(kept.read_text(encoding="utf-8")) == 32
    assert kept.stat().st_mode & 0o777 == 0o640
    with pytest.raises(
        StackError, match=r"\.password\.new is there: another change is under way, or was cut off"
    ):
        renew_password(KAFKA, USER, file)

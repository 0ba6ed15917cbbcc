from __future__ import annotations

import pytest
from pydantic import ValidationError

from resilience_runtime import HttpSettings, KafkaSettings, LogLevel, LogSettings, RuntimeSettings, load

SECRET = "hunter2"


class Settings(RuntimeSettings, LogSettings, HttpSettings, KafkaSettings):
    port: int = 9000


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PORT", "METRICS_PORT", "HOST", "INSTANCE", "LOG_LEVEL", "KAFKA_BOOTSTRAP_SERVERS"):
        monkeypatch.delenv(name, raising=False)


def test_settings_have_defaults_that_need_no_environment() -> None:
    settings = load(Settings)

    assert settings.host == "127.0.0.1"
    assert settings.port == 9000
    assert settings.log_level is LogLevel.INFO
    assert settings.instance


def test_settings_come_from_variables_without_a_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICS_PORT", "9100")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "kafka:29092")
    monkeypatch.setenv("INSTANCE", "one")

    settings = load(Settings)

    assert (settings.metrics_port, settings.kafka_bootstrap_servers) == (9100, "kafka:29092")
    assert settings.instance == "one"


def test_an_empty_variable_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "")

    assert load(Settings).port == 9000


def test_settings_do_not_change() -> None:
    settings = load(Settings)

    with pytest.raises(ValidationError):
        settings.host = "0.0.0.0"


def test_each_wrong_variable_is_one_line_that_shows_no_value(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("METRICS_PORT", SECRET)
    monkeypatch.setenv("LOG_LEVEL", SECRET)
    monkeypatch.setenv("INSTANCE", "no spaces allowed")

    with pytest.raises(SystemExit) as stopped:
        load(Settings)

    lines = capsys.readouterr().err.splitlines()
    assert stopped.value.code == 2
    assert sorted(line.partition(":")[0] for line in lines) == ["INSTANCE", "LOG_LEVEL", "METRICS_PORT"]
    assert not any(SECRET in line for line in lines)

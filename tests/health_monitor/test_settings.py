from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from health_monitor.main import load_policy
from health_monitor.settings import Settings
from resilience_contracts import default_policy_text
from resilience_runtime.settings import load


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def test_nothing_needs_to_be_set() -> None:
    settings = load(Settings)

    assert (settings.port, settings.metrics_port, settings.disabled_probes) == (9002, 9102, ())


def test_disabled_probes_are_a_comma_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISABLED_PROBES", "redis, s3,")

    assert load(Settings).disabled_probes == ("redis", "s3")


def test_probes_are_names_with_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROBES", "payment=https://pay.example/health?deep=1  ledger=tcp://ledger:7000")

    addresses = {name: address.get_secret_value() for name, address in load(Settings).probes.items()}

    assert addresses == {"payment": "https://pay.example/health?deep=1", "ledger": "tcp://ledger:7000"}


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "DATABASE_URL", "REDIS_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "do-not-tell")
    monkeypatch.setenv("PROBES", "payment=https://shop:do-not-tell@pay.example")

    assert "do-not-tell" not in repr(load(Settings))


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("RESILIENCE_SCOPE", "EU west"),
        ("PROBE_SLOTS", "0"),
        ("PORT", "70000"),
        ("PROBES", "payment"),
        ("PROBES", "payment="),
        ("PROBES", "a=tcp://b:1 a=tcp://c:1"),
        ("PROBES", "Pay=tcp://b:1"),
    ],
)
def test_a_wrong_variable_is_named(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(SystemExit) as exit_:
        load(Settings)

    assert exit_.value.code == 2
    assert capsys.readouterr().err.startswith((f"{variable}: ", f"{variable}__"))


def test_the_policy_is_the_default_one_or_the_named_file(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(default_policy_text().replace("interval_s: 10", "interval_s: 7"), encoding="utf-8")

    assert load_policy(Settings()).dependencies["openai"].interval_s == 10
    assert load_policy(Settings(resilience_policy_file=path)).dependencies["openai"].interval_s == 7


@pytest.mark.parametrize("text", [None, "schema_version: 2"])
def test_a_policy_that_cannot_be_used_is_named(
    text: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "policy.yaml"
    if text:
        path.write_text(text, encoding="utf-8")

    with pytest.raises(SystemExit) as exit_:
        load_policy(Settings(resilience_policy_file=path))

    lines = capsys.readouterr().err.splitlines()
    assert exit_.value.code == 2
    assert lines
    assert all(line.startswith(f"RESILIENCE_POLICY_FILE={path}: ") for line in lines)


def test_a_disabled_probe_that_no_policy_knows_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        load_policy(Settings(disabled_probes=("redis", "mongodb")))

    assert capsys.readouterr().err.startswith("DISABLED_PROBES: mongodb ")


def test_a_probe_of_something_that_no_policy_knows_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        load_policy(Settings(probes={"payment": SecretStr("https://pay.example")}))

    assert capsys.readouterr().err.startswith("PROBES: payment ")

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka.conn import AIOKafkaConnection

from resilience_cli.stack.certificates import AUTHORITY, VALID, write_certificates
from resilience_runtime import KafkaAccess, KafkaSettings, load
from resilience_runtime.kafka import SaslMechanism, SecurityProtocol

PASSWORD = "marked-7f3a"
SASL = {"KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT", "KAFKA_SASL_USERNAME": "engine"}


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KafkaSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    write_certificates(tmp_path)
    return tmp_path / AUTHORITY


def test_a_kafka_that_asks_for_nothing_needs_its_address_alone() -> None:
    access = load(KafkaSettings).kafka

    assert access == KafkaAccess("127.0.0.1:9092") == KafkaAccess.of("127.0.0.1:9092")
    assert access.options() == {
        "bootstrap_servers": "127.0.0.1:9092",
        "security_protocol": "PLAINTEXT",
        "ssl_context": None,
    }


def test_variables_make_what_clients_are_given(monkeypatch: pytest.MonkeyPatch, authority: Path) -> None:
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("KAFKA_SASL_MECHANISM", "SCRAM-SHA-256")
    monkeypatch.setenv("KAFKA_SASL_USERNAME", "engine")
    monkeypatch.setenv("KAFKA_SASL_PASSWORD", PASSWORD)
    monkeypatch.setenv("KAFKA_SSL_CAFILE", str(authority))

    options = load(KafkaSettings).kafka.options()

    trusted = options.pop("ssl_context")
    assert [dict(each["subject"][0])["commonName"] for each in trusted.get_ca_certs()] == ["resilience stack"]
    assert trusted.check_hostname
    assert options == {
        "bootstrap_servers": "127.0.0.1:9092",
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-256",
        "sasl_plain_username": "engine",
        "sasl_plain_password": PASSWORD,
    }


def test_the_password_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
    monkeypatch.setenv("KAFKA_SASL_USERNAME", "engine")
    monkeypatch.setenv("KAFKA_SASL_PASSWORD", PASSWORD)

    settings = load(KafkaSettings)

    assert settings.kafka.secret == PASSWORD
    assert PASSWORD not in f"{settings!r} {settings} {settings.kafka!r} {settings.kafka}"


@pytest.mark.parametrize(
    ("variables", "complaints"),
    [
        ({"KAFKA_SECURITY_PROTOCOL": "TLS"}, ["KAFKA_SECURITY_PROTOCOL: "]),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"},
            ["KAFKA_SASL_USERNAME: Value error, is needed", "KAFKA_SASL_PASSWORD: Value error, is needed"],
        ),
        (
            {"KAFKA_SASL_PASSWORD": PASSWORD},
            ["KAFKA_SASL_PASSWORD: Value error, has no use with KAFKA_SECURITY_PROTOCOL=PLAINTEXT"],
        ),
        ({"KAFKA_SSL_CAFILE": __file__}, ["KAFKA_SSL_CAFILE: Value error, has no use"]),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_CAFILE": "none.pem"},
            ["KAFKA_SSL_CAFILE: Value error, is no file of certificates (No such file or directory)"],
        ),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_CAFILE": __file__},
            ["KAFKA_SSL_CAFILE: Value error, is no file of certificates"],
        ),
        ({"KAFKA_SASL_MECHANISM": "GSSAPI"}, ["KAFKA_SASL_MECHANISM: "]),
        (
            {"KAFKA_SASL_PASSWORD_FILE": __file__},
            ["KAFKA_SASL_PASSWORD_FILE: Value error, has no use with KAFKA_SECURITY_PROTOCOL=PLAINTEXT"],
        ),
        (
            SASL | {"KAFKA_SASL_PASSWORD_FILE": __file__, "KAFKA_SASL_PASSWORD": PASSWORD},
            ["KAFKA_SASL_PASSWORD: Value error, has no use beside KAFKA_SASL_PASSWORD_FILE"],
        ),
        (
            SASL | {"KAFKA_SASL_PASSWORD_FILE": "none.password"},
            ["KAFKA_SASL_PASSWORD_FILE: Value error, cannot be read (No such file or directory)"],
        ),
        (
            SASL | {"KAFKA_SASL_PASSWORD_FILE": os.devnull},
            ["KAFKA_SASL_PASSWORD_FILE: Value error, is empty"],
        ),
        (
            SASL | {"KAFKA_SASL_PASSWORD_FILE": __file__, "KAFKA_SASL_MECHANISM": "PLAIN"},
            ["KAFKA_SASL_PASSWORD_FILE: Value error, has no use with KAFKA_SASL_MECHANISM=PLAIN"],
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_what_does_not_fit_together_is_one_line_for_each_variable(
    variables: dict[str, str],
    complaints: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(SystemExit, match="2"):
        load(KafkaSettings)

    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(complaints)
    assert all(line.startswith(start) for line, start in zip(lines, complaints, strict=True))
    assert PASSWORD not in "".join(lines)


def test_authorities_are_read_anew_for_each_client(authority: Path) -> None:
    access = KafkaAccess("broker:1", SecurityProtocol.SSL, cafile=authority)
    assert access.ssl_context() is not None

    authority.unlink()

    with pytest.raises(OSError, match="No such file"):
        access.options()


async def test_a_client_goes_by_the_authorities_that_are_in_the_file_at_each_connection(
    authority: Path,
) -> None:
    trust = KafkaAccess("broker:1", SecurityProtocol.SSL, cafile=authority).ssl_context()
    assert trust
    async with serving(authority.with_name(VALID)) as before:
        write_certificates(authority.parent)
        async with serving(authority.with_name(VALID)) as after:
            _, writer = await asyncio.open_connection("127.0.0.1", after, ssl=trust)
            writer.close()
            await writer.wait_closed()
            with pytest.raises(ssl.SSLCertVerificationError):
                await asyncio.open_connection("127.0.0.1", before, ssl=trust)


@asynccontextmanager
async def serving(certificate: Path) -> AsyncIterator[int]:
    """Give the port of a server with a certificate as it is now."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    async with server:
        yield int(server.sockets[0].getsockname()[1])


async def test_a_password_in_a_file_is_read_anew_for_each_connection(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "engine.password"
    file.write_text("before\n", encoding="utf-8")
    for name, value in (SASL | {"KAFKA_SASL_PASSWORD_FILE": str(file)}).items():
        monkeypatch.setenv(name, value)
    options = load(KafkaSettings).kafka.options()
    options.pop("bootstrap_servers")
    first, second = (AIOKafkaConnection("broker", 1, **options) for _ in range(2))

    before = first.authenticator_scram()
    file.write_text("after", encoding="utf-8")
    after = second.authenticator_scram()
    again = first.authenticator_scram()
    file.unlink()

    found = [each._sasl_plain_password for each in (before, after, again)]
    assert found == [b"before", b"after", b"after"]
    with pytest.raises(OSError, match="No such file"):
        first.authenticator_scram()


def test_mechanisms_have_kafkas_own_names() -> None:
    assert set(SaslMechanism) == {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"}

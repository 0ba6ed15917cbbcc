from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from standardwebhooks import Webhook

from resilience_delivery.message import Answer, Message
from resilience_delivery.sender import AddressGuard, AddressRefusedError, WebhookSender
from resilience_delivery.signing_key import SigningKey
from resilience_runtime import StartupError, SystemClock
from tests.delivery.receiver import receiving

LOOPBACK = AddressGuard([ip_network("127.0.0.0/8")])
MESSAGE = Message("msg_1", "t", "level", "default", "level:default", '{"é":"prix 1 €"}')
SECRET = SigningKey(b"k" * 32).webhook_secret("wh_1")


def sender(
    guard: AddressGuard = LOOPBACK, tls: ssl.SSLContext | None = None, timeout_s: float = 5
) -> WebhookSender:
    return WebhookSender(guard, tls or ssl.create_default_context(), SystemClock(), timeout_s)


async def test_standardwebhooks_verifies_what_is_sent_and_refuses_what_was_changed() -> None:
    async with receiving() as receiver:
        answer = await sender().send(receiver.url, [SECRET], MESSAGE)

    got = receiver.requests[0]
    assert answer == Answer(204)
    assert Webhook(SECRET).verify(got.body, got.headers) == {"é": "prix 1 €"}
    assert got.headers["webhook-id"] == "msg_1"
    with pytest.raises(Exception, match="No matching signature"):
        Webhook(SECRET).verify(got.body + b" ", got.headers)


@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        ("429 Too Many Requests\r\nRetry-After: 7", 7),
        ("503 Service Unavailable\r\nRetry-After: Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("429 Too Many Requests\r\nRetry-After: soon", None),
        ("429 Too Many Requests", None),
    ],
)
async def test_retry_after_is_read_as_seconds_or_as_a_date(line: str, seconds: float | None) -> None:
    async with receiving() as receiver:
        receiver.answer = line
        answer = await sender().send(receiver.url, [SECRET], MESSAGE)

    assert answer.retry_after_s == seconds
    assert not answer.delivered


async def test_a_redirect_is_not_followed() -> None:
    async with receiving() as target, receiving() as receiver:
        receiver.answer = f"307 Temporary Redirect\r\nLocation: {target.url}"
        answer = await sender().send(receiver.url, [SECRET], MESSAGE)

    assert answer == Answer(307)
    assert target.connections == 0


async def test_a_receiver_that_never_answers_or_is_not_there_costs_an_attempt_and_no_more() -> None:
    async with receiving() as receiver:
        receiver.answer = None
        slow = await sender(timeout_s=0.2).send(receiver.url, [SECRET], MESSAGE)
    down = await sender().send(receiver.url, [SECRET], MESSAGE)

    assert (slow.status, slow.detail) == (None, "no answer within 0.2 s")
    assert (down.status, "ConnectError" in down.detail) == (None, True)


@pytest.mark.parametrize("host", ["shop..example", "a" * 64 + ".example"])
async def test_a_host_that_no_name_can_have_costs_an_attempt_and_no_more(host: str) -> None:
    answer = await sender().send(f"https://{host}/hooks", [SECRET], MESSAGE)

    assert (answer.status, "UnicodeError" in answer.detail) == (None, True)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "127.1", "0x7f.1"])
async def test_a_private_address_is_not_even_connected_to(host: str) -> None:
    async with receiving(host=host) as receiver:
        answer = await sender(AddressGuard()).send(receiver.url, [SECRET], MESSAGE)

    assert "AddressRefusedError" in answer.detail
    assert receiver.connections == 0


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1", "172.16.9.9", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "::1", "fe80::1%eth0", "fc00::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1",
        "64:ff9b::a00:1", "2002:7f00:1::", "::", "ff02::1",
    ],
)  # fmt: skip
def test_no_address_that_is_not_public_passes(address: str) -> None:
    with pytest.raises(AddressRefusedError):
        AddressGuard().check(address, "https")


def test_a_public_address_needs_tls_and_an_allowed_network_does_not() -> None:
    AddressGuard().check("93.184.216.34", "https")
    AddressGuard().check("2606:4700::1111", "https")
    AddressGuard([ip_network("10.0.0.0/8")]).check("10.1.2.3", "http")
    with pytest.raises(AddressRefusedError, match="https"):
        AddressGuard([ip_network("10.0.0.0/8")]).check("93.184.216.34", "http")


class Authority:
    """A certificate authority of the test."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._issue("authority", self._key.public_key(), authority=True)

    def server(self, name: str, *, days: int = 1) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._issue(name, key.public_key(), days=days)
        file = self._directory / f"{name}.{days}.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def trusted(self) -> ssl.SSLContext:
        text = self.certificate.public_bytes(serialization.Encoding.PEM).decode()
        return ssl.create_default_context(cadata=text)

    def _issue(
        self, name: str, key: ec.EllipticCurvePublicKey, *, days: int = 1, authority: bool = False
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        names = [
            x509.DNSName(name),
            *([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))] if authority else []),
        ]
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")]))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=3))
            .not_valid_after(now + dt.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self._key, hashes.SHA256())
        )


Wrong = Callable[[Authority, Path], ssl.SSLContext]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (lambda authority, _: authority.server("shop.example"), "Hostname mismatch"),
        (lambda authority, _: authority.server("localhost", days=-1), "expired"),
        (lambda _, directory: Authority(directory).server("localhost"), "verify failed"),
    ],
    ids=["another name", "expired", "unknown authority"],
)
async def test_nothing_is_sent_to_a_server_whose_certificate_is_wrong(
    tmp_path: Path, wrong: Wrong, why: str
) -> None:
    authority = Authority(tmp_path)
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # the server's view of the refusal
    async with receiving(wrong(authority, tmp_path), "localhost") as receiver:
        answer = await sender(tls=authority.trusted()).send(receiver.url, [SECRET], MESSAGE)

    assert answer.status is None
    assert why in answer.detail
    assert not receiver.requests


async def test_the_name_is_verified_though_the_connection_goes_to_an_address(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with receiving(authority.server("localhost"), "localhost") as receiver:
        answer = await sender(tls=authority.trusted()).send(receiver.url, [SECRET], MESSAGE)

    assert answer == Answer(204)
    assert receiver.requests[0].headers["host"].startswith("localhost:")


def test_a_replica_keeps_its_own_key_and_a_short_one_is_refused(tmp_path: Path) -> None:
    first, second = SigningKey.load(None, tmp_path), SigningKey.load(None, tmp_path)
    short = tmp_path / "short"
    short.write_text("secret")

    assert first.webhook_secret("wh_1") == second.webhook_secret("wh_1") != first.webhook_secret("wh_2")
    assert (tmp_path / "signing.key").stat().st_mode & 0o777 == 0o600
    with pytest.raises(StartupError):
        SigningKey.load(short, tmp_path)
    with pytest.raises(StartupError):
        SigningKey.load(tmp_path / "missing", tmp_path)

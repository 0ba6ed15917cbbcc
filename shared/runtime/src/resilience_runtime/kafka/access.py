"""How a client gets into Kafka: where it is, whether by TLS, and who the client is."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from pydantic import SecretStr


class SecurityProtocol(StrEnum):
    """What a listener of Kafka asks for, by Kafka's own names."""

    PLAINTEXT = "PLAINTEXT"
    SSL = "SSL"
    SASL_PLAINTEXT = "SASL_PLAINTEXT"
    SASL_SSL = "SASL_SSL"

    @property
    def encrypted(self) -> bool:
        """Whether it speaks TLS."""
        return self in {self.SSL, self.SASL_SSL}

    @property
    def authenticated(self) -> bool:
        """Whether it asks who a client is."""
        return self in {self.SASL_PLAINTEXT, self.SASL_SSL}


class SaslMechanism(StrEnum):
    """How a client proves who it is. PLAIN sends the password itself: for SASL_SSL alone."""

    PLAIN = "PLAIN"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    SCRAM_SHA_512 = "SCRAM-SHA-512"


class PasswordFile(str):
    """What is in a file whenever a connection proves who it is. Its own text is the file's path.

    aiokafka is given a password once, and encodes it anew for SCRAM on each connection. PLAIN does not.
    """

    __slots__ = ()

    def encode(self, *_: object, **__: object) -> bytes:
        """Return the password that is in the file now.

        Raises:
            OSError: the file cannot be read; for aiokafka a broker that is away, and it tries again.
        """
        return Path(self).read_bytes().strip()


class AuthoritiesFile(ssl.SSLContext):
    """Trusts the authorities that are in a file whenever a connection is made; those of the system without one.

    aiokafka and Faust are given one context for all connections of a client, which may live for months.
    """

    def __init__(self, _protocol: int, cafile: Path | None) -> None:
        self._cafile = cafile
        if cafile:
            self.load_verify_locations(cafile)

    def wrap_bio(self, *given: Any, **named: Any) -> ssl.SSLObject:
        """Begin TLS on a connection.

        Raises:
            OSError: the file cannot be read; for aiokafka a broker that is away, and it tries again.
        """
        return ssl.create_default_context(cafile=self._cafile).wrap_bio(*given, **named)


@dataclass(frozen=True, slots=True)
class KafkaAccess:
    """What every client of Kafka is given.

    Attributes:
        bootstrap: `host:port`, separated by commas.
        username: the principal; with SASL alone.
        password: never shown nor logged; or the file that has it, read for each connection.
        cafile: authorities of the brokers' certificates, PEM; those of the system when None.
    """

    bootstrap: str
    protocol: SecurityProtocol = SecurityProtocol.PLAINTEXT
    mechanism: SaslMechanism = SaslMechanism.SCRAM_SHA_512
    username: str | None = None
    password: SecretStr | Path | None = None
    cafile: Path | None = None

    @classmethod
    def of(cls, kafka: Self | str) -> Self:
        """Take bare bootstrap servers for a Kafka that asks for nothing."""
        return cls(kafka) if isinstance(kafka, str) else kafka

    def options(self) -> dict[str, Any]:
        """Return the arguments of aiokafka's clients.

        Raises:
            OSError: the authorities cannot be read.
        """
        options: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap,
            "security_protocol": str(self.protocol),
            "ssl_context": self.ssl_context(),
        }
        if self.protocol.authenticated:
            options |= {
                "sasl_mechanism": str(self.mechanism),
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.secret,
            }
        return options

    def ssl_context(self) -> ssl.SSLContext | None:
        """Return how to trust a broker, its name checked; None without TLS.

        Raises:
            OSError: the authorities cannot be read.
        """
        return AuthoritiesFile(ssl.PROTOCOL_TLS_CLIENT, self.cafile) if self.protocol.encrypted else None

    @property
    def secret(self) -> str | None:
        """The password itself, as aiokafka takes it."""
        if isinstance(self.password, Path):
            return PasswordFile(self.password)
        return self.password.get_secret_value() if self.password else None

"""A Kafka that asks who comes: TLS, a SCRAM user for each principal, and an authorizer that denies by default.

Certificates and passwords are the stack's own; the first are made anew at each start, the second once.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from resilience_cli.rights import declared_rights
from resilience_runtime.kafka.access import KafkaAccess, SaslMechanism, SecurityProtocol

from .certificates import AUTHORITY, VALID, write_certificates
from .part import Place
from .secret import read_or_create
from .sockets import LOOPBACK

ADMIN = "admin"
"""The super user, who makes topics and permissions."""
MECHANISM = SaslMechanism.SCRAM_SHA_512
LISTENER = SecurityProtocol.SASL_SSL
LOGIN = "org.apache.kafka.common.security.scram.ScramLoginModule"


@dataclass(frozen=True, slots=True)
class Security:
    """How the broker of one stack is locked, and who has keys."""

    place: Place

    @property
    def _folder(self) -> Path:
        return self.place.data("kafka") / "certificates"

    def prepare(self) -> None:
        """Write the certificates."""
        write_certificates(self._folder)

    def access(self, bootstrap: str, principal: str) -> KafkaAccess:
        """Return how a principal gets in."""
        self._password(principal)
        file, authority = self.password_file(principal), self._folder / AUTHORITY
        return KafkaAccess(bootstrap, LISTENER, MECHANISM, principal, file, authority)

    def password_file(self, principal: str) -> Path:
        """Return where a principal's password is kept."""
        return self.place.secret(f"kafka-{principal}.password")

    def users(self) -> tuple[str, ...]:
        """Return the arguments that make the users when the broker's data is created."""
        return tuple(
            word
            for name in (ADMIN, *declared_rights())
            for word in ("--add-scram", f"{MECHANISM}=[name={name},password={self._password(name)}]")
        )

    def properties(self) -> Mapping[str, str]:
        """Return the server's properties beside its listeners.

        The controller, which is the broker itself, is known by its certificate.
        """
        login = f'{LOGIN} required username="{ADMIN}" password="{self._password(ADMIN)}";'
        return {
            "inter.broker.listener.name": LISTENER,
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self._folder / VALID),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self._folder / AUTHORITY),
            "listener.name.controller.ssl.client.auth": "required",
            "sasl.enabled.mechanisms": MECHANISM,
            "sasl.mechanism.inter.broker.protocol": MECHANISM,
            f"listener.name.{LISTENER.lower()}.{MECHANISM.lower()}.sasl.jaas.config": login,
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:{ADMIN};User:CN={LOOPBACK}",
        }

    def _password(self, principal: str) -> str:
        return read_or_create(self.password_file(principal), lambda: secrets.token_urlsafe(24))


def environment_of(access: KafkaAccess) -> dict[str, str]:
    """Return the variables that tell a process how to get in."""
    told = {"KAFKA_BOOTSTRAP_SERVERS": access.bootstrap}
    if access.protocol is SecurityProtocol.PLAINTEXT:
        return told
    file = access.password if isinstance(access.password, Path) else None
    return told | {
        "KAFKA_SECURITY_PROTOCOL": str(access.protocol),
        "KAFKA_SASL_MECHANISM": str(access.mechanism),
        "KAFKA_SASL_USERNAME": access.username or "",
        # Both, so that the one of whoever starts the process is not beside ours.
        "KAFKA_SASL_PASSWORD": "" if file else access.secret or "",
        "KAFKA_SASL_PASSWORD_FILE": str(file or ""),
        "KAFKA_SSL_CAFILE": str(access.cafile or ""),
    }

"""Settings from the environment: the parts of a service's own `Settings`, and their loading."""

from __future__ import annotations

import os
import platform
import ssl
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from .kafka.access import KafkaAccess, PasswordFile, SaslMechanism, SecurityProtocol

EXIT_SETTINGS = 2

# Every part has it, as pydantic gives a class of many parts the settings of the last one.
CONFIG = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True)

Port = Annotated[int, Field(ge=0, le=65_535)]


class LogFormat(StrEnum):
    """How a log line looks: for machines, or for people."""

    JSON = "json"
    CONSOLE = "console"


class LogLevel(StrEnum):
    """The least severe log line that is written."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


def default_instance() -> str:
    """Name this process where nobody did: host and process number."""
    return f"{platform.node() or 'localhost'}-{os.getpid()}"


class RuntimeSettings(BaseSettings):
    """What every service reads.

    Attributes:
        instance: name of this replica, stable over its life.
        state_dir: directory of the small files that outlive a restart.
    """

    model_config = CONFIG

    instance: Annotated[
        str, Field(default_factory=default_instance, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    ]
    state_dir: Path = Path(".stack/state")


class LogSettings(BaseSettings):
    """How to log."""

    model_config = CONFIG

    log_level: LogLevel = LogLevel.INFO
    log_format: LogFormat = LogFormat.JSON


class TraceExporter(StrEnum):
    """Where spans go."""

    NONE = "none"
    OTLP = "otlp"


class TraceSettings(BaseSettings):
    """Whether to trace. OpenTelemetry's SDK reads its other variables itself."""

    model_config = CONFIG

    otel_traces_exporter: TraceExporter = TraceExporter.NONE
    otel_sdk_disabled: bool = False


class HttpSettings(BaseSettings):
    """Where to listen. A service has its own default ports; 0 is any free one."""

    model_config = CONFIG

    host: str = "127.0.0.1"
    port: Port = 0
    metrics_port: Port = 0


class KafkaSettings(BaseSettings):
    """Where Kafka is, and how to get in. What the protocol has no use for is refused, as it was meant to protect.

    Attributes:
        kafka_sasl_username: the principal, with SASL.
        kafka_sasl_password_file: has the password, and is read for each connection; instead of the password itself.
        kafka_ssl_cafile: authorities of the brokers' certificates, PEM; those of the system without it.
    """

    model_config = CONFIG

    kafka_bootstrap_servers: Annotated[str, Field(min_length=1)] = "127.0.0.1:9092"
    kafka_security_protocol: SecurityProtocol = SecurityProtocol.PLAINTEXT
    kafka_sasl_mechanism: SaslMechanism = SaslMechanism.SCRAM_SHA_512
    kafka_sasl_username: Annotated[str | None, Field(validate_default=True)] = None
    kafka_sasl_password_file: Path | None = None
    kafka_sasl_password: Annotated[SecretStr | None, Field(validate_default=True)] = None
    kafka_ssl_cafile: Path | None = None

    @field_validator("kafka_sasl_username", "kafka_sasl_password")
    @classmethod
    def _needed_by_sasl(cls, value: object, info: ValidationInfo) -> object:
        protocol = info.data.get("kafka_security_protocol")
        file = info.data.get("kafka_sasl_password_file", "refused, and told")
        if info.field_name == "kafka_sasl_password" and file:
            if value:
                raise ValueError("has no use beside KAFKA_SASL_PASSWORD_FILE")
        elif protocol and protocol.authenticated is not bool(value):
            verb = "is needed" if protocol.authenticated else "has no use"
            raise ValueError(f"{verb} with KAFKA_SECURITY_PROTOCOL={protocol}")
        return value

    @field_validator("kafka_sasl_password_file")
    @classmethod
    def _readable(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        protocol = info.data.get("kafka_security_protocol")
        if path is None:
            return None
        if protocol and not protocol.authenticated:
            raise ValueError(f"has no use with KAFKA_SECURITY_PROTOCOL={protocol}")
        if info.data.get("kafka_sasl_mechanism") is SaslMechanism.PLAIN:
            raise ValueError("has no use with KAFKA_SASL_MECHANISM=PLAIN, whose password is read once")
        try:
            password = PasswordFile(path).encode()
        except OSError as error:
            raise ValueError(f"cannot be read ({error.strerror})") from error
        if not password:
            raise ValueError("is empty")
        return path

    @field_validator("kafka_ssl_cafile")
    @classmethod
    def _authorities(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        protocol = info.data.get("kafka_security_protocol")
        if path and protocol and not protocol.encrypted:
            raise ValueError(f"has no use with KAFKA_SECURITY_PROTOCOL={protocol}")
        try:
            ssl.create_default_context(cafile=path)
        except OSError as error:
            raise ValueError(
                f"is no file of certificates ({error.strerror or type(error).__name__})"
            ) from error
        return path

    @property
    def kafka(self) -> KafkaAccess:
        """What clients are given."""
        return KafkaAccess(
            self.kafka_bootstrap_servers,
            self.kafka_security_protocol,
            self.kafka_sasl_mechanism,
            self.kafka_sasl_username,
            self.kafka_sasl_password_file or self.kafka_sasl_password,
            self.kafka_ssl_cafile,
        )


S = TypeVar("S", bound=BaseSettings)
T = TypeVar("T")


def load(settings: type[S], **given: Any) -> S:
    """Read settings from the environment, but for those that are given.

    Raises:
        SystemExit: status 2, after one line on stderr for each wrong variable. Values are never shown.
    """
    try:
        return settings(**given)
    except ValidationError as error:
        _refuse(error)


def load_file(variable: str, path: Path, parse: Callable[[str], T], invalid: type[Exception]) -> T:
    """Read a file that a variable names.

    `parse` makes the value of the file's text, or raises `invalid` with one line for each fault.

    Raises:
        SystemExit: status 2, after one line on stderr for each fault.
    """
    try:
        return parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, invalid) as error:
        refuse(*(f"{variable}={path}: {line}" for line in str(error).splitlines()))


def refuse(*lines: str) -> NoReturn:
    """Say why the process cannot start with its settings, and end it with status 2."""
    print(*lines, sep="\n", file=sys.stderr)  # noqa: T201 - logging is not set up before settings are
    raise SystemExit(EXIT_SETTINGS) from None


def _refuse(error: ValidationError) -> NoReturn:
    faults = error.errors(include_url=False, include_input=False, include_context=False)
    refuse(*(f"{_variable(fault['loc'])}: {fault['msg']}" for fault in faults))


def _variable(location: tuple[int | str, ...]) -> str:
    return "__".join(str(step) for step in location).upper() or "environment"

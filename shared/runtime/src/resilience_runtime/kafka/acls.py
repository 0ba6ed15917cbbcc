"""Who may do what, as declared: missing permissions are given, those beyond the declaration taken back."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import IntEnum

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import for_code
from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest, DescribeAclsRequest

from resilience_runtime.errors import RuntimeFault

from .access import KafkaAccess
from .bare_client import ask, bare_client

ANY = 1
USER = "User:"
EVERY_NAME = "*"


class AclsError(RuntimeFault):
    """The broker did not do what was asked of it about permissions."""

    code = "acls_failed"


class Resource(IntEnum):
    """What a permission is about, by the numbers of Kafka's protocol."""

    TOPIC = 2
    GROUP = 3
    CLUSTER = 4
    TRANSACTIONAL_ID = 5
    DELEGATION_TOKEN = 6
    USER = 7


class Pattern(IntEnum):
    """How a resource is named."""

    LITERAL = 3
    PREFIXED = 4


class Operation(IntEnum):
    """What may be done."""

    ALL = 2
    READ = 3
    WRITE = 4
    CREATE = 5
    DELETE = 6
    ALTER = 7
    DESCRIBE = 8
    CLUSTER_ACTION = 9
    DESCRIBE_CONFIGS = 10
    ALTER_CONFIGS = 11
    IDEMPOTENT_WRITE = 12
    CREATE_TOKENS = 13
    DESCRIBE_TOKENS = 14
    TWO_PHASE_COMMIT = 15


class Permission(IntEnum):
    """Whether it is allowed or forbidden."""

    DENY = 2
    ALLOW = 3


@dataclass(frozen=True, slots=True, order=True)
class Acl:
    """One entry of Kafka's access control list.

    Attributes:
        principal: `User:name`.
        host: from where; `*` is anywhere.
    """

    principal: str
    operation: Operation
    resource: Resource
    name: str
    pattern: Pattern = Pattern.LITERAL
    host: str = "*"
    permission: Permission = Permission.ALLOW

    def __str__(self) -> str:
        verb = "may" if self.permission is Permission.ALLOW else "may not"
        name = f"{self.name}*" if self.pattern is Pattern.PREFIXED else self.name
        place = "" if self.host == "*" else f" from {self.host}"
        return f"{self.principal} {verb} {self.operation.name} {self.resource.name} {name}{place}"

    def covers(self, resource: Resource, name: str) -> bool:
        """Say whether it is about a resource of this name."""
        if self.resource is not resource:
            return False
        if self.pattern is Pattern.PREFIXED:
            return name.startswith(self.name)
        return self.name in {name, EVERY_NAME}


@dataclass(frozen=True, slots=True)
class AclDrift:
    """How a broker differs from what is declared, each in order.

    Attributes:
        missing: declared, and not there.
        extra: there for a declared principal, and not declared.
        foreign: permissions on declared resources for principals that are not declared. Nobody takes them back, as
            they may be another system's.
    """

    missing: list[Acl]
    extra: list[Acl]
    foreign: list[Acl]

    def __bool__(self) -> bool:
        return bool(self.missing or self.extra or self.foreign)


def compare(declared: Collection[Acl], present: Collection[Acl]) -> AclDrift:
    """Compare what is there with what is declared."""
    principals = {acl.principal for acl in declared}
    resources = {(acl.resource, acl.name) for acl in declared}
    others = [acl for acl in present if acl.principal not in principals]
    return AclDrift(
        missing=sorted(set(declared) - set(present)),
        extra=sorted({acl for acl in present if acl.principal in principals} - set(declared)),
        foreign=sorted(
            acl
            for acl in others
            if acl.permission is Permission.ALLOW and any(acl.covers(*each) for each in resources)
        ),
    )


async def check_acls(kafka: KafkaAccess, declared: Collection[Acl]) -> AclDrift:
    """Return how the broker differs from the declaration.

    Raises:
        AclsError: the broker is away, has no authorizer, or refuses.
    """
    async with bare_client(kafka, AclsError) as client:
        return compare(declared, await _present(client))


async def apply_acls(kafka: KafkaAccess, declared: Collection[Acl]) -> AclDrift:
    """Give what is missing, then take what is extra; returns how it was before. A second call does nothing.

    Raises:
        AclsError: the broker is away, has no authorizer, or refuses.
    """
    async with bare_client(kafka, AclsError) as client:
        drift = compare(declared, await _present(client))
        for acl in drift.missing:
            answer = await ask(client, CreateAclsRequest(*_fields(acl)))
            _raise_for(str(acl), *(code for code, _ in answer.creation_responses))
        for acl in drift.extra:
            answer = await ask(client, DeleteAclsRequest(*_fields(acl)))
            _raise_for(str(acl), *(code for code, *_ in answer.filter_responses))
    return drift


async def _present(client: AIOKafkaClient) -> set[Acl]:
    answer = await ask(client, DescribeAclsRequest(ANY, None, ANY, None, None, ANY, ANY))
    _raise_for("permissions cannot be read", answer.error_code)
    return {
        Acl(
            principal,
            Operation(operation),
            Resource(resource),
            name,
            Pattern(pattern),
            host,
            Permission(permission),
        )
        for resource, name, pattern, entries in answer.resources
        for principal, host, operation, permission in entries
    }


def _fields(acl: Acl) -> tuple[int | str, ...]:
    return (
        int(acl.resource),
        acl.name,
        int(acl.pattern),
        acl.principal,
        acl.host,
        int(acl.operation),
        int(acl.permission),
    )


def _raise_for(what: str, *codes: int) -> None:
    for code in codes:
        if code:
            raise AclsError(f"{what}: {for_code(code).__name__}")

"""The permissions that infra/kafka/acls.yaml declares, applied to and compared with a Kafka."""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine
from typing import Any

from resilience_runtime.kafka.access import KafkaAccess
from resilience_runtime.kafka.acls import Acl, AclDrift, AclsError, apply_acls, check_acls

from .apart import run_apart
from .errors import StackError
from .rights import declared_acls


def apply_declared_acls(kafka: KafkaAccess) -> AclDrift:
    """Make the broker's permissions what is declared; return how they were.

    Raises:
        StackError: Kafka is away, has no authorizer, or refuses.
    """
    return _run(kafka, apply_acls)


def drift_of_acls(kafka: KafkaAccess) -> AclDrift:
    """Return what differs.

    Raises:
        StackError: Kafka is away, has no authorizer, or refuses.
    """
    return _run(kafka, check_acls)


Work = Callable[[KafkaAccess, Collection[Acl]], Coroutine[Any, Any, AclDrift]]


def _run(kafka: KafkaAccess, work: Work) -> AclDrift:
    try:
        return run_apart(work(kafka, declared_acls()))
    except AclsError as error:
        remedy = "see that Kafka has an authorizer, and that the KAFKA_ variables name a super user of it"
        raise StackError(str(error), remedy) from error

from __future__ import annotations

from pathlib import Path

import pytest

from resilience_cli.acls import apply_declared_acls, drift_of_acls
from resilience_cli.errors import StackError
from resilience_cli.rights import declared_acls, declared_rights
from resilience_cli.stack import SERVICES
from resilience_contracts import Topic, dead_letter_topic
from resilience_runtime import KafkaAccess
from resilience_runtime.kafka.acls import Operation


def writers(topic: str) -> set[str]:
    return {
        acl.principal.removeprefix("User:")
        for acl in declared_acls()
        if acl.operation is Operation.WRITE and acl.name == topic
    }


def test_only_the_engine_says_what_the_level_is_and_only_the_flag_service_holds() -> None:
    assert writers(Topic.LEVELS) == writers(Topic.LEVEL_CHANGES) == {"degradation-engine"}
    assert writers(Topic.HOLDS) == writers(Topic.AUDIT) == {"flag-service"}


def test_each_service_is_a_principal() -> None:
    assert set(SERVICES) <= set(declared_rights())


def test_each_topic_has_somebody_who_writes_it() -> None:
    assert {topic for topic in Topic if not writers(topic)} == set()


def test_whoever_reads_and_writes_events_may_refuse_them() -> None:
    for name, rights in declared_rights().items():
        assert set(rights.refuses) <= set(rights.reads), name
        assert all(name in writers(dead_letter_topic(topic)) for topic in rights.refuses)


@pytest.mark.parametrize(
    "text",
    [
        "principals: {monitor: {reads: [no.such.topic]}}",
        "principals: {Monitor: {}}",
        "principals: {monitor: {owns: [resilience.levels.v1]}}",
        "principals:\n\t- x",
        "[]",
    ],
)
def test_a_wrong_file_is_an_error_of_one_line_with_its_name(tmp_path: Path, text: str) -> None:
    wrong = tmp_path / "acls.yaml"
    wrong.write_text(text, encoding="utf-8")

    with pytest.raises(StackError, match=r"acls\.yaml declares no permissions") as caught:
        declared_rights(wrong)

    assert "\n" not in str(caught.value)


def test_a_broker_without_an_authorizer_is_told_of(kafka_bootstrap: str) -> None:
    with pytest.raises(StackError, match="SecurityDisabled: see that Kafka has an authorizer"):
        apply_declared_acls(KafkaAccess(kafka_bootstrap))


def test_a_broker_that_is_away_is_told_of() -> None:
    with pytest.raises(StackError, match=r"127\.0\.0\.1:1"):
        drift_of_acls(KafkaAccess("127.0.0.1:1"))

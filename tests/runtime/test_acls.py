from __future__ import annotations

from collections.abc import Collection

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience_runtime.kafka.acls import Acl, Operation, Pattern, Permission, Resource, compare

NAMES = ("levels", "levels.dlq", "stock", "*")
ACLS = st.builds(
    Acl,
    principal=st.sampled_from(("User:engine", "User:monitor", "User:mirror", "User:*")),
    operation=st.sampled_from(Operation),
    resource=st.sampled_from((Resource.TOPIC, Resource.GROUP)),
    name=st.sampled_from(NAMES),
    pattern=st.sampled_from(Pattern),
    host=st.sampled_from(("*", "10.0.0.1")),
    permission=st.sampled_from(Permission),
)


@given(declared=st.frozensets(ACLS), present=st.frozensets(ACLS))
def test_what_is_given_and_taken_makes_the_declared_principals_as_declared(
    declared: frozenset[Acl], present: frozenset[Acl]
) -> None:
    drift = compare(declared, present)

    after = (present | set(drift.missing)) - set(drift.extra)

    principals = {acl.principal for acl in declared}
    assert {acl for acl in after if acl.principal in principals} == declared
    assert {acl for acl in present if acl.principal not in principals} <= after
    again = compare(declared, after)
    assert (again.missing, again.extra, again.foreign) == ([], [], drift.foreign)


def acl(
    name: str, pattern: Pattern = Pattern.LITERAL, permission: Permission = Permission.ALLOW
) -> Collection[Acl]:
    return [Acl("User:mirror", Operation.WRITE, Resource.TOPIC, name, pattern, permission=permission)]


@pytest.mark.parametrize(
    ("others", "told"),
    [
        (acl("levels"), True),
        (acl("*"), True),
        (acl("lev", Pattern.PREFIXED), True),
        (acl("elsewhere"), False),
        (acl("else", Pattern.PREFIXED), False),
        (acl("levels", permission=Permission.DENY), False),
    ],
)
def test_what_others_may_do_to_declared_topics_is_told(others: Collection[Acl], told: bool) -> None:
    declared = {Acl("User:engine", Operation.WRITE, Resource.TOPIC, "levels")}

    drift = compare(declared, {*declared, *others})

    assert drift.foreign == (list(others) if told else [])
    assert bool(drift) is told


def test_a_permission_reads_as_a_sentence() -> None:
    assert str(*acl("lev", Pattern.PREFIXED)) == "User:mirror may WRITE TOPIC lev*"
    assert str(*acl("levels", permission=Permission.DENY)) == "User:mirror may not WRITE TOPIC levels"

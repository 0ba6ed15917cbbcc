from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from resilience_delivery.message import Answer, Message, Outcome
from resilience_delivery.webhook import LOG_CAPACITY, Condition, Progress

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FINE, REFUSED = Answer(204), Answer(500)


def message(subject: str = "level:default", number: int = 1) -> Message:
    return Message(f"msg_{subject}_{number}", "t", "level", "default", subject, f"{subject} {number}")


def failing_for(progress: Progress, hours: float, answer: Answer = REFUSED) -> tuple[Progress, list[float]]:
    """Fail every attempt until so many hours have passed; return the times of the attempts in seconds."""
    times: list[float] = []
    now = NOW
    while now <= NOW + timedelta(hours=hours):
        due = progress.due(now)
        if due is None:
            break
        progress = progress.after(due, answer, now, 0.0)
        times.append((now - NOW).total_seconds())
        now = max(now, progress.next_at or now)
    return progress, times


def test_a_receiver_that_fails_is_tried_by_the_schedule_of_standard_webhooks_and_then_given_up() -> None:
    progress, times = failing_for(Progress().offer([message()], 0, NOW), 100)

    assert times == [0, 5, 305, 2_105, 9_305, 27_305, 63_305, 113_705, 185_705, 272_105]
    assert progress.condition is Condition.DEAD
    assert progress.due(NOW + timedelta(days=30)) is None


def test_a_receiver_that_is_away_for_three_days_gets_the_newest_state_once() -> None:
    progress = Progress().offer([message(number=1)], 0, NOW)
    progress, _ = failing_for(progress, 70)
    later = NOW + timedelta(hours=71)

    progress = progress.offer([message(number=2)], 0, later)
    due = progress.due(later)
    assert due == message(number=2)
    progress = progress.after(due, REFUSED, later, 0.0)
    back = progress.next_at
    assert back is not None
    progress = progress.after(due, FINE, back, 0.0)

    assert back < NOW + timedelta(hours=80)
    assert progress.pending == []
    assert progress.failing_since is None
    assert [entry.outcome for entry in progress.log][-3:] == [
        Outcome.SUPERSEDED, Outcome.FAILED, Outcome.DELIVERED
    ]  # fmt: skip


def test_news_does_not_wait_for_the_schedule_but_does_for_retry_after() -> None:
    progress, _ = failing_for(Progress().offer([message(number=1)], 0, NOW), 1)
    asked = progress.after(message(number=1), Answer(429, retry_after_s=600), NOW, 0.0)

    assert progress.offer([message(number=2)], 0, NOW).due(NOW) == message(number=2)
    told = asked.offer([message(number=2)], 0, NOW)
    assert told.due(NOW + timedelta(seconds=599)) is None
    assert told.due(NOW + timedelta(seconds=600)) == message(number=2)


def test_the_newest_goes_first_and_each_subject_only_once() -> None:
    messages = [message("hold:a"), message("level:default", 1), message("level:default", 2)]

    progress = Progress().offer(messages, 0, NOW)

    assert progress.pending == [messages[2], messages[0]]
    assert progress.offer([messages[0], messages[2]], 0, NOW) is progress


def test_an_endpoint_that_is_gone_is_left_alone_until_a_replay() -> None:
    progress = Progress().offer([message()], 0, NOW).after(message(), Answer(410), NOW, 0.0)

    gone = progress.offer([message(number=2)], 0, NOW)
    again = gone.offer([message(number=2)], 1, NOW)

    assert (gone.condition, gone.due(NOW + timedelta(days=9))) == (Condition.GONE, None)
    assert again.due(NOW) == message(number=2)


def test_a_replay_sends_what_was_delivered_again_unchanged() -> None:
    told = Progress().offer([message()], 0, NOW).after(message(), FINE, NOW, 0.0)

    again = told.offer([message()], 1, NOW)

    assert told.due(NOW) is None
    assert again.due(NOW) == message()
    assert again.offer([message()], 1, NOW) is again


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 404, 500, 503, 199])
def test_nothing_but_2xx_is_success(status: int) -> None:
    progress = Progress().offer([message()], 0, NOW).after(message(), Answer(status), NOW, 0.0)

    assert progress.pending == [message()]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]),
        st.integers(1, 5),
        st.sampled_from([200, 410, 429, 500]),
        st.integers(0, 9),
    ),
    max_size=40,
)


@given(STEPS)
def test_whatever_happens_an_id_has_one_content_and_time_only_goes_on(
    steps: list[tuple[str, int, int, int]],
) -> None:
    progress, now, sent = Progress(), NOW, dict[str, str]()
    for subject, number, status, hours in steps:
        before = progress.revision
        progress = progress.offer([message(subject, number)], hours % 2, now)
        due = progress.due(now)
        if due:
            assert sent.setdefault(due.id, due.body) == due.body
            progress = progress.after(due, Answer(status, retry_after_s=hours * 60.0), now, hours / 9)
        assert progress.revision >= before
        assert len(progress.log) <= LOG_CAPACITY
        assert len({d.message.subject for d in progress.deliveries.values()}) == len(progress.deliveries) <= 2
        now += timedelta(hours=hours)


def test_thousands_of_scopes_fit_in_a_record_and_each_is_told_once() -> None:
    """The topic takes records of 3 MB."""
    topic_bytes, record = 3 * 1024 * 1024, TypeAdapter(Progress)
    wanted = [
        replace(message(f"level:s-{number}"), body=f'{{"n":{number},"x":"{"y" * 1_500}"}}')
        for number in range(6_000)
    ]
    progress, sent = Progress(), list[str]()
    progress = progress.offer(wanted, 0, NOW)
    for turn in range(6_000):
        due = progress.due(NOW)
        assert due is not None
        sent.append(due.id)
        progress = progress.after(due, FINE, NOW, 0.0)
        if turn % 100 == 0 or not progress.pending:
            progress = progress.offer(wanted, 0, NOW)
            assert len(record.dump_json(progress)) < topic_bytes

    assert sorted(sent) == sorted(one.id for one in wanted)
    assert progress.offer(wanted, 0, NOW) is progress
    again = progress.offer(wanted, 1, NOW)
    assert again.due(NOW) is not None
    assert len(record.dump_json(again)) < topic_bytes

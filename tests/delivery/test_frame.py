from __future__ import annotations

from resilience_delivery import Frame, Mailbox


def frame(number: int, subject: str = "default", kind: str = "state") -> Frame:
    return Frame(kind, subject, b"", f"b-{number}")


def test_a_mailbox_hands_over_everything_in_order_once() -> None:
    mailbox = Mailbox()
    frames = [frame(number) for number in range(3)]
    for one in frames:
        assert mailbox.put(one)

    assert mailbox.drain() == frames
    assert mailbox.drain() == []


def test_a_slow_client_keeps_the_newest_of_each_kind_and_subject() -> None:
    mailbox = Mailbox(capacity=4)
    for number in range(100):
        assert mailbox.put(frame(number, f"s{number % 2}"))

    newest = mailbox.drain()

    assert len(newest) <= 4
    assert newest[-1] == frame(99, "s1")
    assert [one for one in newest if one.subject == "s0"][-1] == frame(98, "s0")


def test_a_client_that_cannot_even_keep_the_newest_is_given_up() -> None:
    mailbox = Mailbox(capacity=4)

    assert [mailbox.put(frame(number, f"s{number}")) for number in range(5)] == [True] * 4 + [False]

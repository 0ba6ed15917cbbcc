from __future__ import annotations

from datetime import timedelta

from flag_service.domain.vitals import KEYS, POINTS, Vitals
from resilience_contracts import BreakerState, HealthObserved, Observation, Outcome, ProbeReport
from tests.contracts.states import NOW, breaker_observed, health_observed

SCOPE = "eu-west.store-042"


def probe(second: int, outcome: Outcome = Outcome.OK, latency_ms: float = 2.0) -> Observation:
    return Observation(outcome=outcome, latency_ms=latency_ms, at=NOW + timedelta(seconds=second))


def report(*probes: Observation, observer: str = "monitor-1") -> HealthObserved:
    seen = ProbeReport(recent=probes, interval_s=5)
    return health_observed().model_copy(update={"probe": seen, "observer": observer})


def test_probes_that_a_later_report_repeats_are_taken_once() -> None:
    vitals = Vitals()

    vitals.apply(report(probe(0), probe(5)))
    vitals.apply(report(probe(0), probe(5), probe(10)))

    assert [seen.at for seen in vitals.of(SCOPE, "redis").probes] == [probe(s).at for s in (0, 5, 10)]


def test_probes_of_two_observers_are_in_the_order_of_time() -> None:
    vitals = Vitals()

    vitals.apply(report(probe(0), probe(10)))
    vitals.apply(report(probe(5), observer="monitor-2"))

    assert [seen.at for seen in vitals.of(SCOPE, "redis").probes] == [probe(s).at for s in (0, 5, 10)]


def test_the_oldest_give_way() -> None:
    vitals = Vitals()

    for start in range(0, 84, 12):
        vitals.apply(report(*(probe(start + index) for index in range(12))))

    reading = vitals.of(SCOPE, "redis")
    assert len(reading.probes) == POINTS
    assert reading.last_at == probe(83).at


def test_figures_count_answers_and_misses_as_the_score_does() -> None:
    vitals = Vitals()
    answered = [probe(index, latency_ms=float(index)) for index in range(1, 7)]
    lost = [probe(7, Outcome.TIMEOUT), probe(8, Outcome.RATE_LIMITED), probe(9, Outcome.NOT_RUN)]

    vitals.apply(report(*answered, *lost))

    reading = vitals.of(SCOPE, "redis")
    assert reading.p95_ms == 6.0
    assert reading.error_share == 1.5 / 8


def test_breakers_are_kept_by_their_service() -> None:
    vitals = Vitals()

    vitals.apply(breaker_observed())

    assert vitals.of(SCOPE, "redis").breakers == {"monitor-1": BreakerState.OPEN}


def test_nothing_heard_is_a_reading_without_figures() -> None:
    reading = Vitals().of("default", "redis")

    assert (reading.probes, reading.last_at, reading.p95_ms, reading.error_share) == ((), None, None, None)


def test_made_up_scopes_take_no_more_than_their_share_of_memory() -> None:
    vitals = Vitals()

    for number in range(KEYS + 1):
        vitals.apply(report(probe(0)).model_copy(update={"scope": f"s{number}"}))

    assert vitals.of(f"s{KEYS - 1}", "redis").probes
    assert not vitals.of(f"s{KEYS}", "redis").probes

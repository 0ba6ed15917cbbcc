from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from resilience_guards import BreakerSettings, CallNotPermitted, CircuitBreaker, Permit, State
from resilience_guards.state import LEGAL_MOVES
from tests.guards.calls import ManualTime
from tests.guards.slow_circuit import Call, SlowCircuit

SETTINGS = st.builds(
    BreakerSettings,
    window_calls=st.integers(1, 8),
    window_s=st.none() | st.integers(1, 4).map(float),
    minimum_calls=st.integers(1, 8),
    failure_rate=st.sampled_from([0.2, 0.5, 0.6, 1.0]),
    slow_rate=st.sampled_from([0.3, 0.5, 1.0]),
    slow_call_s=st.just(2.0),
    open_wait_s=st.just(4.0),
    open_wait_cap_s=st.sampled_from([4.0, 16.0]),
    open_wait_jitter=st.just(0.0),
    half_open_on_time=st.booleans(),
    half_open_permits=st.integers(1, 4),
    half_open_limit_s=st.none() | st.just(6.0),
    half_open_limit_to=st.sampled_from([State.OPEN, State.CLOSED]),
    permit_lease_s=st.just(8.0),
)


@dataclass(frozen=True)
class Pair:
    permit: Permit
    call: Call


async def answer() -> int:
    return 1


async def break_down() -> int:
    raise OSError


def drive(coroutine: Coroutine[Any, Any, int]) -> object:
    """Run a coroutine that never waits, without a loop; return its result or its error."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    except (OSError, CallNotPermitted) as error:
        return error
    raise AssertionError("it waited")


class BreakerMachine(RuleBasedStateMachine):
    pairs = Bundle("pairs")

    @initialize(settings=SETTINGS, start=st.sampled_from([0.0, 0.5, 1000.0]))
    def begin(self, settings: BreakerSettings, start: float) -> None:
        self.clock = ManualTime(start)
        self.fast = CircuitBreaker("fast", settings, self.clock)
        self.slow = SlowCircuit(settings, start)

    @rule(target=pairs)
    def acquire(self) -> object:
        permit, call = self.fast.try_acquire(), self.slow.acquire()

        assert (permit is None) == (call is None)
        return multiple(Pair(permit, call)) if permit and call else multiple()

    @rule(pair=consumes(pairs), failed=st.booleans())
    def report(self, pair: Pair, failed: bool) -> None:
        (self.fast.failed if failed else self.fast.succeeded)(pair.permit)
        self.slow.report(pair.call, failed=failed)

    @rule(pair=pairs, failed=st.booleans())
    def report_again_later(self, pair: Pair, failed: bool) -> None:
        self.report(pair, failed)

    @rule(pair=consumes(pairs))
    def release(self, pair: Pair) -> None:
        self.fast.released(pair.permit)
        self.slow.release(pair.call)

    @rule(failed=st.booleans(), times=st.integers(1, 5))
    def call(self, failed: bool, times: int) -> None:
        for _ in range(times):
            permitted = self.fast.is_call_permitted() or self._due()
            result = drive(self.fast.call(break_down if failed else answer))
            call = self.slow.acquire()
            assert (isinstance(result, CallNotPermitted)) == (call is None)
            assert permitted or call is None
            if call:
                self.slow.report(call, failed=failed)

    def _due(self) -> bool:
        return self.slow.ends <= self.clock.now_s

    @rule(by_s=st.sampled_from([0.25, 1.0, 2.0, 4.0, 4.25, 9.0, 40.0]))
    def advance(self, by_s: float) -> None:
        self.clock.advance(by_s)
        self.slow.now += by_s

    @rule()
    def poll(self) -> None:
        self.fast.poll()
        self.slow.settle()

    @rule(state=st.sampled_from(State))
    def move(self, state: State) -> None:
        self.poll()
        if state in LEGAL_MOVES[self.slow.state]:
            self.fast.move(state)
            self.slow.enter(state)

    @rule()
    def reset(self) -> None:
        self.poll()
        self.fast.reset()
        self.slow.enter(State.CLOSED)

    @invariant()
    def both_know_the_same(self) -> None:
        if not hasattr(self, "fast"):
            return
        seen = self.fast.snapshot()

        assert (seen.state, seen.era, seen.late_total) == (self.slow.state, self.slow.era, self.slow.late)
        assert (seen.calls, seen.failed, seen.slow) == self.slow.counts()
        assert seen == self.fast.snapshot()


BreakerMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
test_breaker_equals_the_slow_circuit = BreakerMachine.TestCase

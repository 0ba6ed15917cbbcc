"""Bugs of other flag systems, each with the test that it cannot be ours."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parents[1]
ROWS = {
    "1 flagd 2012, 2036: a tag that leaves the context out": (
        "contract/test_ofrep.py::test_a_tag_covers_the_attributes_that_decide"
    ),
    "3 js-sdk-contrib 1509: a stream that was cut is not opened again": (
        "contract/test_ofrep_js_clients.py::test_the_web_client_catches_up_after_its_stream_was_cut"
    ),
    "5 posthog-python 808: a late answer overwrites a newer one": (
        "client/test_feed.py::test_whichever_replica_answers_nothing_older_follows_something_newer"
    ),
    "7 posthog-js 2996: what could not be evaluated is false": (
        "contract/test_ofrep.py::test_a_percentage_of_nobody_is_an_error_item_among_answers"
    ),
    "9 ld-relay 141, 207: an empty store turns flags off": (
        "flag_service/test_retailer_flags.py::test_nothing_heard_of_the_level_takes_no_flag_away"
    ),
    "11 Flagsmith 8127: two resolvers disagree": (
        "flag_service/test_retailer_flags.py::test_any_context_is_answered_alike_alone_and_with_all"
    ),
    "12 PostHog 54979: shown in one time zone, done in another": (
        "flag_service/test_changes.py::test_an_end_with_another_offset_is_kept_in_utc_and_a_duration_needs_no_zone"
    ),
    "14 unleash-edge 1583, server: clients that do not read pile up": (
        "flag_service/test_stream.py::test_a_client_that_does_not_read_is_dropped_and_hurts_nobody"
    ),
    "14 unleash-edge 1583, client: a half-open stream looks fine": (
        "client/test_sources.py::test_a_half_open_stream_is_given_up"
    ),
    "15 unleash-node-sdk 797: a change that was not applied goes unnoticed": (
        "client/test_sources.py::test_after_an_event_that_cannot_be_applied_everything_is_asked_for_anew"
    ),
    "17 go-feature-flag 5469: two writers of one connection": (
        "flag_service/test_stream.py::test_heartbeats_and_changes_at_once_never_mix_on_the_wire"
    ),
    "18 flipt 3412, 3267: a vendor's key in the context, metadata null": (
        "contract/test_ofrep.py::test_no_flag_needs_a_vendors_key_in_the_context"
    ),
    "19 unleash-dotnet-sdk 310: a weak tag is not met": (
        "contract/test_ofrep.py::test_the_bulk_tag_is_strong_and_spares_the_body"
    ),
    "21 js-sdk 1577: a key that is not encoded in the path": (
        "contract/test_ofrep.py::test_an_unknown_flag_is_not_found_in_ofreps_shape"
    ),
    "22 flagd 1809: the layers have no order": (
        "flag_service/test_retailer_flags.py::test_each_layer_wins_over_the_next_and_leaves_no_trace_when_it_goes"
    ),
    "better-auth 8844: an attempt signed once is too old later": (
        "flag_service/test_webhooks.py"
        "::test_an_outage_of_three_days_is_survived_and_every_attempt_sends_the_same_bytes"
    ),
}


@pytest.mark.parametrize("row", ROWS)
def test_each_bug_has_its_test(row: str) -> None:
    file, _, name = ROWS[row].partition("::")

    assert f"def {name}(" in (HERE / file).read_text(encoding="utf-8")

"""What is due to a SQLite file, by what was counted; no file and no clock is needed for that."""

from dataclasses import replace

import pytest

from cw_store.backends.sqlite.maintenance_rules import (
    MEBIBYTE,
    Copied,
    Counters,
    Look,
    MaintenanceSettings,
    Step,
    current_settings,
    maintenance_settings,
)

RULES = MaintenanceSettings()
QUICK, SLOW, VERY_SLOW = 0.002, 0.02, 0.6
"""Seconds for which the turn is kept where an fsync takes 1, 10 and 300 ms."""


def counters(cost: float | None = None) -> Counters:
    """Return the counters of a log that was begun anew at 0, which kept the turn for so long."""
    counters = Counters(RULES, 0.0)
    if cost is not None:
        counters.note_begun_anew(cost, 0.0, waiting=64)
    return counters


def look(now: float, mebibytes: float = 0, changes: int = 0, is_writing: bool = False) -> Look:
    return Look(now, int(mebibytes * MEBIBYTE), changes, is_writing)


def copied(log: float, seconds: float = 0.01, left: float = 0, newly: float = 4) -> Copied:
    """Return what a copy found, in mebibytes."""
    return Copied(False, int(log * MEBIBYTE), int(left * MEBIBYTE), int(newly * MEBIBYTE), seconds)


def written(counters: Counters, now: float) -> None:
    """Let there be a write, seen by a look at this time."""
    counters.turns += 1
    counters.note_look(look(now))


def after(counters: Counters, copied: Copied, now: float) -> Step:
    """Return what is due after this copy, among writes."""
    written(counters, now)
    counters.note_copy(copied)
    return counters.due_after(copied, now)


# At a look.


def test_nothing_is_due_to_a_log_that_is_short_or_was_copied() -> None:
    found = counters()
    written(found, 0.0)
    assert found.due(look(0.1, 3)) is Step.NOTHING
    assert found.due(look(0.1, 4)) is Step.COPY
    found.note_taken(Step.COPY, look(0.1, 4))
    assert found.due(look(0.2, 4)) is Step.NOTHING
    assert found.due(look(0.2, 8)) is Step.COPY


def test_a_log_that_is_written_over_is_copied_by_the_count_of_turns_and_rows() -> None:
    found = counters()
    written(found, 0.0)
    found.note_taken(Step.COPY, look(0.1, 16))
    assert found.due(look(0.2, 16, changes=1000)) is Step.NOTHING
    assert found.due(look(0.2, 16, changes=1024)) is Step.COPY
    found.turns += 256
    assert found.due(look(0.2, 16)) is Step.COPY


def test_statistics_are_due_first_and_then_after_twice_as_many_rows() -> None:
    found = counters()
    assert found.due(look(0.1, 8, changes=9_999)) is Step.COPY
    assert found.due(look(0.1, 8, changes=10_000)) is Step.MAKE_STATISTICS
    found.note_statistics(12_000)
    assert found.due(look(0.1, 8, changes=23_999)) is Step.COPY
    assert found.due(look(0.1, 8, changes=24_000)) is Step.MAKE_STATISTICS


def test_a_log_is_copied_and_cut_after_a_pause_and_nothing_is_kept_then() -> None:
    found = counters()
    written(found, 10.0)
    assert found.due(look(14.9, 2)) is Step.NOTHING
    assert found.due(look(15.0, 2)) is Step.COPY
    found.note_copy(copied(2, newly=2))
    assert found.due_after(copied(2, newly=2), 15.0) is Step.CUT
    assert found.due(look(15.0, 1)) is Step.REST


def test_nobody_pauses_who_has_the_turn() -> None:
    found = counters()
    found.note_look(look(10.0, is_writing=True))
    assert found.due(look(14.0)) is Step.NOTHING
    assert found.due(look(15.0)) is Step.REST


def test_what_was_postponed_is_due_after_a_pause() -> None:
    found = counters()
    written(found, 10.0)
    found.postpone(10.0)
    assert found.due(look(14.9, 100, changes=100_000)) is Step.NOTHING
    assert found.due(look(15.0, 100)) is Step.COPY


def test_asking_changes_nothing() -> None:
    found = counters(SLOW)
    written(found, 0.0)
    long = copied(300)
    found.note_copy(long)
    answers = [
        (found.due(look(1.0, 8)), found.is_overdue(look(2.0, 300)), found.due_after(long, 2.0))
        for _ in range(3)
    ]
    assert answers == [(Step.COPY, True, Step.BEGIN_ANEW)] * 3


# After a copy.


def test_where_writers_hardly_notice_the_log_is_kept_short() -> None:
    assert after(counters(QUICK), copied(20), 0.05) is Step.NOTHING  # more than 1/20 of the time
    assert after(counters(QUICK), copied(20), 0.06) is Step.BEGIN_ANEW
    assert after(counters(QUICK), copied(0.3), 0.06) is Step.NOTHING


def test_where_writers_notice_the_log_grows_to_almost_what_it_may_have() -> None:
    assert after(counters(SLOW), copied(150), 10.0) is Step.NOTHING
    assert after(counters(SLOW), copied(220), 10.0) is Step.BEGIN_ANEW


def test_where_few_of_all_writes_wait_the_log_is_kept_short_too() -> None:
    found = counters()
    found.note_begun_anew(SLOW, 0.0, waiting=2)
    found.turns = 1998
    assert after(found, copied(20), 1.0) is Step.NOTHING
    assert after(found, copied(20), 1.0) is Step.BEGIN_ANEW
    assert after(found, copied(20), 0.59) is Step.NOTHING  # more than 1/20 of the time


def test_what_is_written_until_the_turn_comes_counts() -> None:
    assert after(counters(SLOW), copied(205), 10.0) is Step.NOTHING
    assert after(counters(SLOW), copied(205), 1.0) is Step.BEGIN_ANEW  # 205 MiB a second


def test_writers_wait_no_larger_part_of_the_time_however_long_the_log_is() -> None:
    assert after(counters(VERY_SLOW), copied(900), 4.4) is Step.NOTHING
    assert after(counters(VERY_SLOW), copied(900), 4.6) is Step.BEGIN_ANEW


def test_the_lesser_of_the_last_two_costs_counts() -> None:
    found = counters(VERY_SLOW)
    found.note_begun_anew(SLOW, 0.0, waiting=64)
    assert after(found, copied(220), 1.0) is Step.BEGIN_ANEW
    found.note_begun_anew(VERY_SLOW, 1.0, waiting=64)
    assert after(found, copied(220), 2.0) is Step.BEGIN_ANEW
    found.note_begun_anew(VERY_SLOW, 2.0, waiting=64)
    assert after(found, copied(220), 3.0) is Step.NOTHING


def test_before_it_was_measured_the_cost_is_that_of_three_copies() -> None:
    found = counters()
    assert after(found, copied(20, seconds=0.001), 0.05) is Step.NOTHING
    assert after(found, copied(20, seconds=0.001), 0.07) is Step.BEGIN_ANEW


def test_a_log_is_copied_again_first_while_that_leaves_less_for_the_turn() -> None:
    found = counters(SLOW)
    after(found, copied(50, seconds=0.01), 1.0)
    found.note_taken(Step.COPY, look(1.0, 150))
    assert after(found, copied(200, seconds=0.1), 2.0) is Step.COPY
    assert after(found, copied(200, seconds=0.1), 2.0) is Step.COPY
    assert after(found, copied(200, seconds=0.1), 2.0) is Step.BEGIN_ANEW
    found.note_taken(Step.COPY, look(2.0, 200))
    assert after(found, copied(230, seconds=0.1), 2.0) is Step.BEGIN_ANEW  # it is too long


@pytest.mark.parametrize(
    "in_the_way", [copied(300, left=5), copied(300)._replace(is_busy=True)], ids=["left", "busy"]
)
def test_a_log_that_somebody_reads_is_left_and_tried_later_when_nobody_writes(
    in_the_way: Copied,
) -> None:
    found = counters(SLOW)
    assert after(found, in_the_way, 10.0) is Step.NOTHING
    assert not found.is_overdue(look(10.0, 500))
    assert found.due_after(in_the_way, 20.0) is Step.TRY_LATER


# While it is copied.


def test_the_turn_is_taken_while_a_copy_runs_when_the_log_is_too_long() -> None:
    found = counters(SLOW)
    assert not found.is_overdue(look(10.0, 300))  # how long a copy takes is not known yet
    found.note_copy(copied(100))
    assert not found.is_overdue(look(10.0, 200))
    assert found.is_overdue(look(10.0, 220))
    assert not found.is_overdue(look(0.1, 220))  # they waited a moment ago


# Settings.


def test_other_settings_are_for_what_is_opened_meanwhile() -> None:
    with maintenance_settings(pause=1.0) as outer:
        with maintenance_settings(look_every=2.0):
            assert current_settings() == replace(RULES, pause=1.0, look_every=2.0)
        assert current_settings() is outer
    assert current_settings() == RULES

"""What the maintenance of a SQLite file goes by: its settings, and what it has counted.

Nothing here looks at a file, a clock or a connection, and questions change nothing: `Maintenance`
asks what is due, has it done, and tells what became of it.

Runs on
    The event loop.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum, auto
from math import inf
from typing import NamedTuple

from typing_extensions import TypedDict, Unpack

MEBIBYTE = 1024 * 1024
PAGE = 4096
PAGES_OF_A_TURN = 4
"""So many pages a turn adds to the log, and one for each row; large rows lengthen the file."""


@dataclass(frozen=True, slots=True)
class MaintenanceSettings:
    """When something is due, and what it may cost those who write."""

    look_every: float = 0.05
    """Seconds between two looks at the log while there are writes."""

    pause: float = 5.0
    """Seconds without a write after which the log is cut, and after which what failed is tried
    again.

    Whoever writes next has to lengthen the log again, which a program that writes every now and
    then would pay for each time.
    """

    short_log: int = MEBIBYTE
    """Bytes of log that are left alone while nobody writes, and that may be copied in a turn."""

    worth_copying: int = 4 * MEBIBYTE
    """Bytes written to the log that are worth a copy; a short log stays in the processor's cache.

    If so many cannot be copied, somebody reads an old snapshot.
    """

    short_wait: float = 0.005
    """Seconds for which the writers may wait for the log to be begun anew as often as it is due.

    Where it takes longer, every writer of that moment notices, however many there are, and the
    longer the log may grow the fewer of all writes these are.
    """

    writes_for_each_wait: int = 1000
    """Writes, since the log was last begun anew, for each writer that waited then.

    Where there are so many, longer waits count as short ones: hardly any of all writes is one.
    """

    share_of_time: float = 1 / 20
    """The part of the time that short waits may take."""

    long_log: int = 216 * MEBIBYTE
    """Bytes that the log may have before it is begun anew, where that takes longer.

    The turn is asked for when so many are to be expected until it comes, and at once when they are
    there. What is written until what is left is copied shall not make it more than 256 MiB.
    """

    largest_share: float = 1 / 5
    """How long the writers may wait for it, as a part of the time since it was done before.

    They write for five parts and wait for one. Until that is so, the log grows.
    """

    most_passes: int = 3
    """How often the log is copied before a turn, if so much is written meanwhile."""

    changes_before_statistics: int = 10_000
    """Rows changed before the planner's statistics are made, and again after twice as many.

    Not sooner: statistics of tables that were nearly empty mislead the planner once they are large.
    """

    wait_for_others: float = 0.02
    """Seconds that a step of a turn waits for readers of old snapshots or another process."""

    niceness: int = 3
    """How much the checkpoints' thread steps back: a third of a core that it shares with one other.

    More would keep the writers waiting behind it on a machine that is busy with something else.
    """

    tell_every: float = 60.0
    """Seconds between two records of the same failure."""


class SettingsChanges(TypedDict, total=False):
    """What can be set otherwise."""

    look_every: float
    pause: float
    short_log: int
    worth_copying: int
    short_wait: float
    writes_for_each_wait: int
    share_of_time: float
    long_log: int
    largest_share: float
    most_passes: int
    changes_before_statistics: int
    wait_for_others: float
    niceness: int
    tell_every: float


_settings = MaintenanceSettings()


def current_settings() -> MaintenanceSettings:
    """Return what a store that is opened now goes by."""
    return _settings


@contextmanager
def maintenance_settings(**changes: Unpack[SettingsChanges]) -> Generator[MaintenanceSettings]:
    """Let the stores that are opened inside go by other settings; for tests and measurements."""
    global _settings
    before = _settings
    _settings = replace(before, **changes)
    try:
        yield _settings
    finally:
        _settings = before


class Step(Enum):
    """What maintenance does next."""

    NOTHING = auto()
    MAKE_STATISTICS = auto()
    COPY = auto()
    """Copy the log beside the writers."""
    BEGIN_ANEW = auto()
    """Copy the rest of the log in a turn, so that the next writer writes over it."""
    CUT = auto()
    """Copy the rest of the log in a turn, and leave an empty file."""
    TRY_LATER = auto()
    """Leave alone for a while what somebody is in the way of."""
    REST = auto()
    """Close what was opened, and look no more before the next write."""


class Look(NamedTuple):
    """What one look at the writer and its log has found."""

    now: float
    """The loop's time."""
    length: int
    """Bytes of the log's file, which SQLite cuts back when the log is begun anew."""
    changes: int
    """Rows that the writing connection has changed since it was opened."""
    is_writing: bool
    """Whether somebody has the turn."""


class Copied(NamedTuple):
    """What a checkpoint found and did, in bytes of log, and the seconds that it took."""

    is_busy: bool
    """Whether another process, or a reader of an old snapshot, was in the way."""
    log: int
    left: int
    newly: int
    seconds: float


class Counters:
    """How much was written and copied, when, and what it costs to begin the log anew.

    `due` and the others that ask change nothing; `note_…` do.
    """

    def __init__(self, settings: MaintenanceSettings, now: float) -> None:
        self._settings = settings
        self.turns = 0
        """Commits of the writers, as far as whoever counts with this has seen them."""
        self._turns_seen = 0
        self._written_at = 0.0
        self._not_before = 0.0
        self._pages_at_copy = self._length_at_copy = 0
        self._passes = 0
        self._shortest_copy = inf
        self._is_another_in_the_way = False
        self._begun_at = now
        self._turns_at_begin = 0
        self._waiting = inf  # as if many did, until it is known
        self._costs: deque[float] = deque(maxlen=2)
        self._statistics_from = settings.changes_before_statistics

    # Every now and then.

    def note_look(self, look: Look) -> None:
        """Note whether anything was written since the last one."""
        if self.turns != self._turns_seen or look.is_writing:
            self._turns_seen = self.turns
            self._written_at = look.now

    def due(self, look: Look) -> Step:
        """Return what to do now that nothing is under way."""
        if look.now < self._not_before:
            return Step.NOTHING
        if look.changes >= self._statistics_from:
            return Step.MAKE_STATISTICS
        is_quiet = self._is_quiet(look.now)
        if look.length > self._settings.short_log and (is_quiet or self._is_much_written(look)):
            return Step.COPY
        return Step.REST if is_quiet else Step.NOTHING

    def note_taken(self, step: Step, look: Look) -> None:
        """Note that what was due is begun."""
        if step is Step.COPY:
            self._pages_at_copy = self._pages_written(look)
            self._length_at_copy = look.length
            self._passes = 0

    def is_overdue(self, look: Look) -> bool:
        """Whether to take the turn although the log is still being copied.

        The writers write more than the disk can take: they wait for the copy too.
        """
        if self._is_another_in_the_way:
            return False
        return self._is_worth_it(look.length, look.now, self._shortest_copy)

    def _is_quiet(self, now: float) -> bool:
        return self.turns == self._turns_seen and now - self._written_at >= self._settings.pause

    def _is_much_written(self, look: Look) -> bool:
        """Whether the log has become much longer since it was copied, as far as can be seen.

        SQLite does not say where its end is, and what is written over leaves the file as it is.
        """
        enough = self._settings.worth_copying
        pages = self._pages_written(look) - self._pages_at_copy
        return pages * PAGE >= enough or look.length - self._length_at_copy >= enough

    def _pages_written(self, look: Look) -> int:
        return self.turns * PAGES_OF_A_TURN + look.changes

    # After something was done.

    def note_copy(self, copied: Copied) -> None:
        """Note what a copy beside the writers has done."""
        self._passes += 1
        if copied.newly:
            self._shortest_copy = min(self._shortest_copy, copied.seconds)
        # A little may be left that was written after the snapshot.
        too_much = self._settings.worth_copying
        self._is_another_in_the_way = copied.is_busy or copied.left > too_much

    def due_after(self, copied: Copied, now: float) -> Step:
        """Return what to do after this copy, once it was noted."""
        is_quiet = self._is_quiet(now)
        if self._is_another_in_the_way:
            return Step.TRY_LATER if is_quiet else Step.NOTHING
        if is_quiet:
            return Step.CUT
        if not self._is_worth_it(self._log_at_turn(copied, now), now):
            return Step.NOTHING
        if self._is_much_left(copied) and copied.log < self._settings.long_log:
            return Step.COPY
        return Step.BEGIN_ANEW

    def _is_much_left(self, copied: Copied) -> bool:
        """Whether to copy again first: the longer a copy took, the more was written meanwhile."""
        was_long = copied.seconds > 2 * self._shortest_copy
        return (
            was_long
            and copied.newly > self._settings.short_log
            and self._passes < self._settings.most_passes
        )

    def note_begun_anew(self, seconds: float, now: float, *, waiting: int) -> None:
        """Note for how long the turn was kept, and how many writers waited for it in the end."""
        self._begun_at = now
        self._turns_at_begin = self.turns
        self._waiting = max(waiting, 1)  # one may have come a moment later
        self._costs.append(1.5 * seconds)  # the third fsync is that of the next commit

    def note_statistics(self, changes: int) -> None:
        """Note after how many changed rows they were made."""
        self._statistics_from = 2 * changes

    def postpone(self, now: float) -> None:
        """Let nothing be due for a while."""
        self._not_before = now + self._settings.pause

    def _log_at_turn(self, copied: Copied, now: float) -> float:
        """Return about how long the log is if the turn is asked for after the next copy only.

        The copy began with the log as it was then, and the next one may take twice as long.
        """
        elapsed = max(now - self._begun_at - copied.seconds, 0.001)
        return copied.log * (1 + (3 * copied.seconds + self._settings.look_every) / elapsed)

    def _is_worth_it(self, log: float, now: float, also: float = 0.0) -> bool:
        """Whether a log of so many bytes is to be begun anew, if so many seconds are waited too."""
        settings = self._settings
        cost, elapsed = self._cost() + also, now - self._begun_at
        if cost <= settings.short_wait or self._are_waits_few():
            return log > settings.short_log and cost <= settings.share_of_time * elapsed
        return log > settings.long_log and cost <= settings.largest_share * elapsed

    def _are_waits_few(self) -> bool:
        """Whether hardly any write waits if as many writers do as the last time."""
        written = self.turns - self._turns_at_begin
        return written >= self._settings.writes_for_each_wait * self._waiting

    def _cost(self) -> float:
        """Return the seconds that the writers wait when the log is begun anew.

        The lesser of two, since once the machine may have been busy with something else. Before it
        was measured: three fsyncs, of which a copy makes one.
        """
        return min(self._costs) if self._costs else 3 * self._shortest_copy

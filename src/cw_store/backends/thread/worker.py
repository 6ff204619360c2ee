"""The way from the event loop to a connection's thread and back.

A queue with a semaphore, and `call_soon_threadsafe` for the way back, take six switches between
the two threads for one piece of work: the thread that is woken finds the interpreter's lock held
by the one that woke it, and goes to sleep again. Here each is woken by what is written to a pipe,
or to Linux's eventfd. Python gives its lock up before it writes, so whoever is woken can run, and
two switches are enough. That is less than a third of the time; `bench/` measures it as part of
every call.

Besides, a thread is kept on the core of whoever gives it work. The scheduler likes to spread the
two over idle cores, although they take turns by the nature of things, and to wake a sleeping core
takes ten times as long as all the rest: 70 microseconds a call instead of 5.

**Guarantees.** Jobs are done one at a time, in the order in which they were added; what comes back
from one thread is run on the loop in the order in which it was added there. No wake-up carries
anything: it says that there is something, and whoever is awake takes all there is. A job that was
added before the end is done; a callback that raises is logged, and keeps no other waiting. No
descriptor is closed while anybody may still write to it.

**Runs on.** Any thread: `JobQueue.add`, `ThreadCallbacks.add`, `Wakeup.let_go`. The thread that has
the jobs: `JobQueue.serve`, `ThreadCallbacks.end`. The event loop: all of `LoopCallbacks`,
`ThreadCallbacks.stop`, `JobQueue.end` and `terminate`.

**Order.** First into the deque, then the write that wakes: the other way round, who is woken finds
nothing, and sleeps while the job stands there. `serve` reads what woke it before it empties the
deque, or the reading would swallow the wake-up of a job that came in between. The loop runs what is
there before it reads, so that the callers go on sooner, and therefore looks once more afterwards.
`stop`, on the loop, comes when nobody waits for the thread any more, and `end`, in the thread,
after its last `add`: each gives its hold on the descriptors up, and the last one closes them.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from time import monotonic

from cw_store.backends.thread.forked_loop import note_loop
from cw_store.backends.thread.future import may_run_nested

logger = logging.getLogger(__name__)

BYTES_AT_A_TIME = 4096

WAKE = (1).to_bytes(8, sys.byteorder)
"""What is written to wake the other: an eventfd takes an integer of 8 bytes."""

LONG_JOB = 0.005
"""Seconds of work after which a thread is worth a core of its own, if there is an idle one."""

LONG_ROUND = 0.00005
"""Seconds for which one round of the event loop goes on to wake those who waited for a thread.

A timer waits for two or three rounds, each of which has the tasks that were woken otherwise and the
threads on the same core besides. So 50 microseconds here keep the 99th percentile of the loop's lag
below 3 milliseconds with fifty tasks at work (`bench/`).
"""


def _no_core() -> int:
    return 0


def core_of_caller() -> Callable[[], int]:
    """Return what tells on which core it is called; where cores cannot be chosen, always 0."""
    if sys.platform != "linux":
        return _no_core
    try:
        import ctypes  # a Python that was built without libffi has none
    except ImportError:
        return _no_core
    get_core: Callable[[], int] = getattr(ctypes.PyDLL(None), "sched_getcpu", _no_core)
    return get_core if get_core() >= 0 else _no_core


current_core = core_of_caller()


class Wakeup:
    """Where one thread wakes another, closed by the last of those who use it.

    Nobody closes it while another may be about to write: its number could soon be that of another
    file.
    """

    __slots__ = ("_others", "reading", "writing")

    def __init__(self, users: int) -> None:
        self.reading = self.writing = -1  # for `__del__`, should there be no descriptors
        if hasattr(os, "eventfd"):  # a counter in the kernel and one descriptor, not a pipe's two
            self.reading = self.writing = os.eventfd(0, os.EFD_CLOEXEC)
        else:
            self.reading, self.writing = os.pipe()
            os.set_blocking(self.writing, False)
        # One entry for each user but the last; to take one is the same as to find out whether
        # there was one, whichever threads let go at once.
        self._others: list[None] = [None] * (users - 1)

    def share(self) -> None:
        """Count one more user; by one that has not let go."""
        self._others.append(None)

    def let_go(self) -> None:
        """Use it no more; from any thread."""
        try:
            self._others.pop()
        except IndexError:
            self._close()

    def _close(self) -> None:
        ends = {self.reading, self.writing} - {-1}
        self.reading = self.writing = -1
        for end in ends:
            os.close(end)

    def __del__(self) -> None:
        self._close()


def _end() -> None:
    """Stand for the last job, which is not done."""


class JobQueue:
    """What a thread is to do, in order.

    Where the thread follows its caller from core to core, it does so within the cores that the
    caller may use at that moment. Whoever confines the process later (`taskset`, a cpuset) moves
    the threads too, and whoever confines this thread alone is never overruled. `clock` tells in
    seconds how long its jobs take.
    """

    __slots__ = (
        "_caller",
        "_clock",
        "_confined_to",
        "_core",
        "_follows",
        "_may_follow",
        "_thread",
        "_wakeup",
        "waiting",
    )

    def __init__(self, *, pin_threads: bool = True, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._wakeup = Wakeup(2)
        self.waiting: deque[Callable[[], None]] = deque()
        """What has not begun; the thread takes from it."""
        self._thread = 0
        self._caller = 0
        self._may_follow = pin_threads and current_core is not _no_core
        self._follows = False  # the caller, from core to core
        self._core: int | None = None  # where the thread is kept; None when it may run anywhere
        self._confined_to: set[int] = set()  # what was last set here

    def add(self, job: Callable[[], None]) -> None:
        """Have the thread do a job, which must not raise; from any thread."""
        if self._follows:
            core = current_core()
            if core != self._core:
                self._follow(core)
        self.waiting.append(job)
        try:
            os.write(self._wakeup.writing, WAKE)
        except OSError:
            pass  # so full that the thread is awake anyway, or it has ended

    def end(self) -> None:
        """Let `serve` return when all jobs are done; none may be added any more."""
        self.add(_end)
        self._wakeup.let_go()

    def terminate(self) -> None:
        """Let go for both sides, since there is no thread that would."""
        self.waiting.clear()
        self._wakeup.let_go()
        self._wakeup.let_go()

    def serve(self) -> None:
        """Do the jobs, in the thread that calls this, until the end."""
        waiting = self.waiting
        if self._may_follow:
            self._thread = threading.get_native_id()
            self._confined_to = os.sched_getaffinity(0)
            self._follows = True
        wakeup, clock = self._wakeup, self._clock
        while True:
            os.read(wakeup.reading, BYTES_AT_A_TIME)
            started = clock()
            while waiting:
                job = waiting.popleft()
                if job is _end:
                    self._follows = False
                    wakeup.let_go()
                    return
                job()
                del job  # or whatever it holds would live until the next one comes
            is_long = clock() - started > LONG_JOB
            if is_long and self._follows:
                self._follows = False
                self._roam()
            elif not is_long and self._may_follow and not self._follows:
                self._core = None
                self._follows = True

    def _follow(self, core: int) -> None:
        """Keep the thread to the core of the caller, in whose thread this runs."""
        self._caller = threading.get_native_id()
        self._core = core
        with suppress(OSError):  # it may not be allowed, and all that it costs is time
            if self._is_left_to_us(os.sched_getaffinity(0)):
                os.sched_setaffinity(self._thread, {core})
                self._confined_to = {core}

    def _roam(self) -> None:
        """Let the thread run wherever its caller may at this moment."""
        with suppress(OSError):  # the caller's thread may have ended
            cores = os.sched_getaffinity(self._caller)
            if self._is_left_to_us(cores):
                os.sched_setaffinity(self._thread, cores)
                self._confined_to = cores

    def _is_left_to_us(self, cores_of_caller: set[int]) -> bool:
        """Whether nobody else has chosen cores for this thread alone; if so it is let be for ever.

        Whoever confines the whole process gives all threads the same cores.
        """
        if os.sched_getaffinity(self._thread) not in (self._confined_to, cores_of_caller):
            self._may_follow = self._follows = False
        return self._may_follow


class LoopCallbacks:
    """What is to be run on an event loop, in order, a little in each of its rounds.

    The connections of a store share it. If each ran all that it has in one round, or even a little,
    those would wait too long who wait for the loop itself: for a timer, say. They also share what
    wakes the loop, which a store that is at rest would else hold open for each of them.

    A task is resumed right here, in the callback that found its result, unless the event loop may
    be run again within a task (`nest_asyncio` does that, in notebooks). A callback that is under
    way cannot be called again then, so each result has to have one of its own.

    `run` is called when the descriptor is readable, and in the round after one that was full
    (`resume`). Where such a round is due already the former leaves all to it, or a round would have
    two lots. `clock` tells in seconds how long a round takes.
    """

    __slots__ = ("_clock", "_is_resumed", "_users", "_wakeup", "finished", "loop")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float] = monotonic
    ) -> None:
        self.loop = loop
        self._clock = clock
        self._is_resumed = False
        self._wakeup: Wakeup | None = None
        self._users = 0
        self.finished: deque[Callable[[], None]] = deque()
        """The loop has to be woken by whoever adds to it."""

    def attach(self) -> Wakeup:
        """Return what wakes the loop, for one more thread; on the loop."""
        if self._wakeup is None:
            wakeup = Wakeup(1)
            os.set_blocking(wakeup.reading, False)
            self.loop.add_reader(wakeup.reading, self._woken)
            note_loop(self.loop)
            self._wakeup = wakeup
        self._users += 1
        self._wakeup.share()
        return self._wakeup

    def detach(self) -> None:
        """Wake the loop for one thread less; on the loop."""
        self._users -= 1
        if self._users == 0 and self._wakeup is not None:
            wakeup, self._wakeup = self._wakeup, None
            self.loop.remove_reader(wakeup.reading)
            wakeup.let_go()

    def run(self) -> None:
        """Run one, and what comes while the round is not long; in a callback of the loop.

        Nothing when a round is due to do so anyway.
        """
        finished = self.finished
        if self._is_resumed or not finished:
            return
        if may_run_nested():
            self._call_each_by_itself()
            return
        try:
            # The task that goes on now usually has more for its thread to do. Where that is done
            # before this returns, it is spared the loop's way round.
            finished.popleft()()
            if finished:
                clock = self._clock
                end = clock() + LONG_ROUND
                while finished and clock() < end:
                    finished.popleft()()
        except Exception:
            logger.exception(
                "what came back from a connection's thread could not be handed on",
                extra={"event": "callback_failed"},
            )
        finally:
            if finished:  # also when one raised
                self.resume()

    def _call_each_by_itself(self) -> None:
        while self.finished:
            self.loop.call_soon(self.finished.popleft())

    def add_all(self, finished: Iterable[Callable[[], None]]) -> None:
        """Have the loop call all of these; on the loop."""
        self.finished.extend(finished)
        self.resume()

    def resume(self) -> None:
        """Go on in the loop's next round."""
        if not self._is_resumed:
            self._is_resumed = True
            self.loop.call_soon(self._resumed)

    def _resumed(self) -> None:
        self._is_resumed = False
        self.run()

    def _woken(self) -> None:
        self.run()
        if self._wakeup is not None:
            # An exception that ended the loop has left what was due for the next time it runs,
            # beside what is due then: the second finds nothing to read.
            try:
                os.read(self._wakeup.reading, BYTES_AT_A_TIME)
            except BlockingIOError:
                pass
        if self.finished:  # what came in between has not woken anybody any more
            self.resume()


class ThreadCallbacks:
    """The way of a connection's thread to the event loop; a loop that is closed runs nothing."""

    def __init__(self, loop_callbacks: LoopCallbacks) -> None:
        self._callbacks = loop_callbacks
        self._finished = loop_callbacks.finished
        self._wakeup = loop_callbacks.attach()

    def add(self, finished: Callable[[], None]) -> None:
        """Have the loop call `finished`; from any thread."""
        self._finished.append(finished)
        try:
            os.write(self._wakeup.writing, WAKE)
        except OSError:
            pass  # so full that the loop is awake anyway, or it is closed

    def stop(self) -> None:
        """Wake the loop no more; on the loop, once nobody waits for this thread."""
        self._callbacks.detach()

    def end(self) -> None:
        """Say that nothing will be added any more; in the thread."""
        self._wakeup.let_go()

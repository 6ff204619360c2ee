"""Pages that renew themselves, each drawn once for all who look at it.

**Guarantees.** However many look at a page, it is drawn at most four times a second, and less
often where drawing takes long: no more than a fifth of a core. While nobody looks nothing runs. A
viewer gets the difference from what it has to what there is now, however many states it missed, and
at most four events a second; nothing is queued for it. Each state was read in one snapshot,
and none comes after a later one. When a page cannot be drawn any more the streams of it end, so
that whoever looks knows that what they see is old.

**Runs on.** The event loop. One task for each page that is looked at.

**Order.** A look waits for its turn and only then begins to read, so what it sees is newer than
what the look before it saw. A viewer takes hold of the next change before it looks at the last one,
and so misses none in between.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Hashable
from contextlib import contextmanager, suppress
from contextvars import Context
from secrets import token_hex
from time import process_time
from typing import NamedTuple, TypeAlias

from cw_store import NotFoundError, Store, StoreClosedError, UnitOfWork
from cw_store.live.differences import ALIVE, GONE, RETRY, changed_event
from cw_store.live.pages import Page

logger = logging.getLogger(__name__)

BETWEEN_LOOKS = 0.25
"""Seconds from the beginning of a look to the next, at least."""

SHARE = 5
"""No more than one part of so many of a core's time is spent on looks."""

SHARE_OF_TIME = 2
"""And while no more than one part of so many of the time one goes on: a server works for it."""

LOOKS_COUNTED = 5
"""What looks take is the mean of about so many: one that was held up holds up no others."""

EVENTS_AT_ONCE = 4
"""So many events a viewer gets in RATE_SECONDS at most, also when others ask for looks between."""

RATE_SECONDS = 0.9
"""A little less than the looks need: a viewer that was late once would be late from then on."""

QUIET_SECONDS = 15.0
"""Seconds after which a stream shows that it is alive, and the store is asked although nothing was
told: who is not told of a database that is gone finds out so."""

STATES_KEPT = 40
"""So many of the last states are kept, for viewers that have an older one."""

SECONDS_KEPT = 30.0
"""Seconds for which the state of a page is kept that nobody looks at: a browser comes back."""

Draw: TypeAlias = Callable[[UnitOfWork], Awaitable[Page]]
"""Reads and draws a page, in the unit of work that is given."""


class State(NamedTuple):
    """A page as it was at one look; `id` names it to whoever has it."""

    id: str
    page: Page


class LivePage:
    """One page, for all who look at it."""

    def __init__(self, store: Store, draw: Draw, name: str) -> None:
        self._store = store
        self._draw = draw
        self._name = name
        self._born = token_hex(4)
        self._count = 0
        self._states: deque[State] = deque(maxlen=STATES_KEPT)
        self._events: dict[str | None, bytes] = {}
        """The events to the last state, by the state that a viewer has."""
        self._turn = asyncio.Lock()
        self._began = self._took = self._spent = 0.0
        self._told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._viewers = 0
        self._task: asyncio.Task[None] | None = None
        self._end: bytes | None = None
        """What viewers are told last, once nothing more will come."""

    def __repr__(self) -> str:
        """Say of what, and for how many."""
        return f"<LivePage {self._name} for {self._viewers} viewers>"

    @property
    def is_kept(self) -> bool:
        """Whether somebody looks at it, or did a moment ago."""
        return self._viewers > 0 or _time() - self._began < SECONDS_KEPT

    async def now(self) -> State:
        """Return the state as it is now, for somebody who just asks.

        Whoever asks meanwhile shares the look. Raises whatever drawing raises.
        """
        asked = _time()
        async with self._turn:
            if self._began < asked or not self._states:
                async with self._store.unit_of_work(read_only=True, label="live") as uow:
                    await self._look(uow)
            return self._states[-1]

    async def ready(self, since: str | None) -> None:
        """Look, unless that is done already; raises whatever drawing raises.

        After looks that failed whoever comes back is let in by one that succeeds alone.
        """
        has_failed = self._end is not None
        if self._task is None and (has_failed or self._state(since) is None):
            await self.now()

    async def events(self, since: str | None) -> AsyncGenerator[bytes]:
        """Give the events that lead on from the state `since`, or all of the page at first."""
        sent = self._state(since)
        rate = _Rate()
        yield RETRY
        with self._viewed():
            while self._end is None:
                told = self._told
                state = self._states[-1] if self._states else None
                if state is None or state is sent:
                    if not await _is_done(told, QUIET_SECONDS):
                        yield ALIVE
                elif rate.seconds_to_wait() > 0:
                    await asyncio.sleep(rate.seconds_to_wait())
                else:
                    rate.note()
                    event, sent = self._event(sent, state), state
                    yield event
            yield self._end

    def close(self) -> None:
        """End all streams."""
        self._finish(b"")

    # Who looks.

    @contextmanager
    def _viewed(self) -> Generator[None]:
        self._viewers += 1
        if self._task is None:
            self._end = None
            self._task = asyncio.get_running_loop().create_task(
                self._renew(), name=f"cw_store renews {self._name}", context=Context()
            )
        try:
            yield
        finally:
            self._viewers -= 1
            if self._viewers == 0:
                self._stop()

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _state(self, id: str | None) -> State | None:
        return next((state for state in self._states if state.id == id), None)

    def _event(self, sent: State | None, state: State) -> bytes:
        """Return the event from one state to the last one, made once for all."""
        key = None if sent is None else sent.id
        event = self._events.get(key)
        if event is None:
            before = None if sent is None else sent.page
            event = self._events[key] = changed_event(state.id, before, state.page)
        return event

    # The looks.

    async def _renew(self) -> None:
        end = b""
        try:
            while True:
                # Asked again in a while, whatever happens.
                with suppress(TimeoutError):
                    async with asyncio.timeout(QUIET_SECONDS):
                        await self._store.wait_for(self._look_in_turn)
        except NotFoundError:
            end = GONE
        except StoreClosedError:
            pass
        except Exception as error:
            logger.warning(
                "%s is not renewed any more: %s",
                self._name,
                error,
                exc_info=error,
                extra={"event": "screen_not_renewed"},
            )
        self._task = None
        self._finish(end)

    async def _look_in_turn(self, uow: UnitOfWork) -> Page | None:
        """Draw the page, which is a question that never has an answer: it is asked on and on."""
        pause = max(BETWEEN_LOOKS, self._spent * SHARE, self._took * SHARE_OF_TIME)
        # The unit holds nothing yet: it begins with its first statement.
        await asyncio.sleep(max(0.0, self._began + pause - _time()))
        async with self._turn:
            await self._look(uow)
        return None

    async def _look(self, uow: UnitOfWork) -> None:
        self._began, spent = _time(), process_time()
        page = await self._draw(uow)
        self._took += (_time() - self._began - self._took) / LOOKS_COUNTED
        self._spent += (process_time() - spent - self._spent) / LOOKS_COUNTED
        if not self._states or self._states[-1].page != page:
            self._count += 1
            self._states.append(State(f"{self._born}-{self._count}", page))
            self._events.clear()
            self._wake()

    def _finish(self, end: bytes) -> None:
        self._end = end
        self._wake()

    def _wake(self) -> None:
        told, self._told = self._told, self._told.get_loop().create_future()
        told.set_result(None)


class LivePages:
    """The pages that somebody looks at, or did a moment ago."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pages: dict[Hashable, LivePage] = {}

    def page(self, key: Hashable, draw: Draw, name: str) -> LivePage:
        """Return the page of this key; who has the same key sees the same."""
        page = self._pages.get(key)
        if page is None:
            self._pages = {key: page for key, page in self._pages.items() if page.is_kept}
            page = self._pages[key] = LivePage(self._store, draw, name)
        return page

    def close(self) -> None:
        """End all streams, since the server ends."""
        for page in self._pages.values():
            page.close()


class _Rate:
    """Counts what one viewer was sent lately."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=EVENTS_AT_ONCE)

    def seconds_to_wait(self) -> float:
        if len(self._times) < EVENTS_AT_ONCE:
            return 0.0
        return max(0.0, self._times[0] + RATE_SECONDS - _time())

    def note(self) -> None:
        self._times.append(_time())


def _time() -> float:
    return asyncio.get_running_loop().time()


async def _is_done(told: asyncio.Future[None], seconds: float) -> bool:
    return bool((await asyncio.wait([told], timeout=seconds))[0])

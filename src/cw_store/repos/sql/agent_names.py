"""Names for agents that a person can remember: an adjective and an animal.

Which is free is looked up where the row is inserted, so a name costs the same however many agents
there are: a look into the index for each that is offered, and one INSERT.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator

from sqlalchemy import ColumnElement, bindparam, case, exists, select

from cw_store.schema import agents
from cw_store.statements.expressions import PRESENT

NUMBERED = 10**4
"""So many numbers that one name in forty has to be made anew where there are a million agents."""

UNSHARED = 10**8
"""So many numbers that ten thousand names under way meet once in some 8,000 runs."""

ADJECTIVES = (
    "able agile amber awake blithe bold brave breezy bright brisk calm candid cheerful clever "
    "cosmic cozy crisp curious daring dapper eager earnest fearless festive gentle gleaming "
    "golden graceful happy hardy honest humble jolly jovial keen kind lively lucid lucky "
    "mellow merry mighty nimble noble patient peppy playful plucky polite proud quick quiet "
    "radiant serene sincere steady sunny swift tidy witty"
).split()

ANIMALS = (
    "alpaca badger beaver bison bunny camel cheetah cobra condor crane dolphin donkey eagle "
    "falcon ferret finch fox gazelle gecko gibbon heron hippo ibex ibis jackal jaguar koala "
    "lark lemur leopard llama lynx magpie marmot marten meerkat moose narwhal newt ocelot "
    "octopus otter owl panda panther pelican penguin puffin quail rabbit raven robin salmon "
    "seal sparrow stork tapir turtle walrus wombat"
).split()

OFFERED = ("name", "second_name", "last_name")
"""The parameters of `FREE_NAME`."""


def _is_taken(name: ColumnElement[str]) -> ColumnElement[bool]:
    namesakes = agents.alias("namesakes")
    return exists(select(PRESENT).select_from(namesakes).where(namesakes.c.name == name))


first, second, last = (bindparam(name, type_=agents.c.name.type) for name in OFFERED)

FREE_NAME = case((~_is_taken(first), first), (~_is_taken(second), second), else_=last)
"""The first name offered that is free, or the last, which may be taken after all."""


def names(*, side_by_side: bool) -> Iterator[dict[str, str]]:
    """Give names to be offered, at random without end: two plain ones, and one with a number.

    Of transactions that work side by side one waits for the other that has just taken the same
    name, and two can wait for each other. So there each name has a number, and one so long that
    nobody else comes upon it.
    """
    if not side_by_side:
        yield dict(zip(OFFERED, (_plain(), _plain(), _numbered(NUMBERED)), strict=True))
    while True:
        yield dict.fromkeys(OFFERED, _numbered(UNSHARED))


def _numbered(limit: int) -> str:
    return f"{_plain()}-{2 + secrets.randbelow(limit)}"


def _plain() -> str:
    drawn, animal = divmod(secrets.randbits(32), len(ANIMALS))
    return f"{ADJECTIVES[drawn % len(ADJECTIVES)]}-{ANIMALS[animal]}"

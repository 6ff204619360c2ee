"""Names for agents that a person can remember: an adjective and an animal."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

PLAIN_TRIES = 5
"""So many names without a number are tried, which is plenty up to some thousand agents."""

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


def names(*, side_by_side: bool) -> Iterator[str]:
    """Give names at random without end; after a few each has a number, and ever longer ones.

    Of transactions that work side by side one waits for the other that has just taken the same
    name, and two can wait for each other. So there each name has a number at once, and one so
    long that nobody else comes upon it.
    """
    limit = UNSHARED if side_by_side else 100
    if not side_by_side:
        for _ in range(PLAIN_TRIES):
            yield _plain()
    while True:
        yield f"{_plain()}-{2 + secrets.randbelow(limit)}"
        limit *= 10


def _plain() -> str:
    return f"{secrets.choice(ADJECTIVES)}-{secrets.choice(ANIMALS)}"

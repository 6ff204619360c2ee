"""What the store logs while a test does something."""

import logging
from collections.abc import Generator
from contextlib import contextmanager


class Records(logging.Handler):
    """Keeps what is logged."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextmanager
def told(level: int, name: str = "cw_store") -> Generator[list[logging.LogRecord]]:
    """Give what the store logs within."""
    handler = Records(level)
    logger = logging.getLogger(name)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield handler.records
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)

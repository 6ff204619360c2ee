"""Times, which are read again and again."""

from sqlalchemy.dialects import sqlite

from cw_store.types import EPOCH, MICROSECOND, UtcDateTime
from cw_store.types.timestamps import TIMESTAMPS_KEPT


def test_a_time_is_read_right_whether_it_is_remembered_or_forgotten() -> None:
    read = UtcDateTime().result_processor(sqlite.dialect(), None)
    first = read(1_700_000_000_000_001)
    assert read(1_700_000_000_000_001) is first
    for number in range(TIMESTAMPS_KEPT):
        assert read(number) == EPOCH + number * MICROSECOND
        assert read(-number) == EPOCH - number * MICROSECOND
    again = read(1_700_000_000_000_001)
    assert again == first
    assert again is not first  # or it would keep every time that was ever read
    assert read(None) is None

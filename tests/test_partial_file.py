"""A file that gets its name once it is whole."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cw_store import StoreError
from cw_store.partial_file import PartialFile


def open_here() -> set[str]:
    """Return the files that this process has open."""
    numbers = os.listdir("/proc/self/fd")
    return {
        os.readlink(path)
        for number in numbers
        if os.path.lexists(path := f"/proc/self/fd/{number}")
    }


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="nobody tells what is open")
@pytest.mark.parametrize(("replaces", "step"), [(False, "link"), (True, "replace")])
def test_it_is_closed_before_anybody_can_open_it_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replaces: bool, step: str
) -> None:
    """Or SQLite's locks of one who has opened it would be dropped when it is closed."""
    file = PartialFile(tmp_path / "cw.db", replaces=replaces)
    file.open()
    file.write(b"whole")
    assert str(file.path) in open_here()
    give_name: Callable[..., Any] = getattr(os, step)
    open_then = list[set[str]]()

    def noted(*paths: Any) -> Any:
        open_then.append(open_here())
        return give_name(*paths)

    monkeypatch.setattr(os, step, noted)
    file.publish()
    (then,) = open_then
    assert str(file.path) not in then
    assert file.target.read_bytes() == b"whole"
    assert os.listdir(tmp_path) == ["cw.db"]
    file.discard()
    assert os.listdir(tmp_path) == ["cw.db"]


def test_what_got_no_name_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = PartialFile(tmp_path / "cw.db", replaces=True)
    file.open()

    def refuse(*_: Any) -> None:
        raise PermissionError(13, "refused")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(StoreError, match="refused"):
        file.publish()
    assert os.listdir(tmp_path) == ["cw.db.partial"]
    file.discard()
    assert os.listdir(tmp_path) == []


def test_what_another_made_of_it_meanwhile_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, another = PartialFile(tmp_path / "cw.db"), PartialFile(tmp_path / "cw.db")
    file.open()
    give_name = os.link

    def overtaken(*paths: Any) -> None:
        another.open()
        monkeypatch.setattr(os, "link", give_name)
        raise FileExistsError(17, "taken")

    monkeypatch.setattr(os, "link", overtaken)
    with pytest.raises(StoreError):
        file.publish()
    file.discard()
    another.write(b"the other one")
    another.publish()
    assert (tmp_path / "cw.db").read_bytes() == b"the other one"

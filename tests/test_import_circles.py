"""What `make check` says of files that import each other."""

from import_circles import circles


def test_files_that_look_down_only_are_in_no_circle() -> None:
    assert circles({"top": {"middle", "low"}, "middle": {"low"}, "low": set()}) == []


def test_every_circle_is_told_in_the_order_of_the_imports() -> None:
    found = circles({"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"d"}, "e": {"a"}})
    assert sorted(map(len, found)) == [2, 4]
    assert ["d", "d"] in found
    [longer] = [circle for circle in found if len(circle) == 4]
    assert longer[0] == longer[-1]
    assert " -> ".join(longer[:-1]) in ("a -> b -> c", "b -> c -> a", "c -> a -> b")

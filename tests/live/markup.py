"""What HTML holds, as a parser reads it."""

from collections import Counter
from html.parser import HTMLParser

EMPTY = {"br", "col", "hr", "img", "input", "link", "meta", "use", "path", "circle", "rect", "line"}


class Markup(HTMLParser):
    """The elements, the attributes and the text of a piece of HTML; it has to be well formed."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    @property
    def ids(self) -> list[str]:
        """All ids, in their order."""
        return [value for _, name, value in self.attributes if name == "id"]

    @property
    def text(self) -> str:
        """All text."""
        return "".join(self.texts)

    def values(self, name: str) -> list[str]:
        """All values of an attribute."""
        return [value for _, each, value in self.attributes if each == name]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in EMPTY:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self._open and self._open.pop() == tag, f"</{tag}> at the wrong place"

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

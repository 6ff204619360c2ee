"""What a drawing holds, as an XML parser reads it."""

from collections.abc import Iterator
from xml.etree.ElementTree import Element, fromstring

NAMESPACE = "{http://www.w3.org/2000/svg}"


class Svg:
    """The elements of a drawing; whatever is not well-formed XML is refused."""

    def __init__(self, text: str) -> None:
        self.root = fromstring(text)

    def each(self, tag: str, name: str = "") -> list[Element]:
        """Return the elements of this tag, with this class if one is named."""
        found = self.root.iter(f"{NAMESPACE}{tag}")
        return [each for each in found if not name or name in each.get("class", "").split()]

    def tags(self) -> set[str]:
        """Return the names of all elements."""
        return {each.tag.removeprefix(NAMESPACE) for each in self.root.iter()}

    def attributes(self) -> Iterator[tuple[str, str]]:
        """Give all attributes."""
        for each in self.root.iter():
            yield from each.attrib.items()

    def texts(self) -> list[str]:
        """Return what is written, in the order of the file."""
        return ["".join(each.itertext()) for each in self.each("text")]

    def titles(self) -> list[str]:
        """Return what is told of an element to whoever points at it."""
        return ["".join(each.itertext()) for each in self.each("title")]

    def task(self, id: str) -> Element:
        """Return the box of a task."""
        [found] = [each for each in self.root.iter() if each.get("data-task") == id]
        return found

    def agent(self, id: str) -> Element:
        """Return the bar of an agent."""
        [found] = [each for each in self.root.iter() if each.get("data-agent") == id]
        return found


def bar_of(element: Element) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of a bar."""
    rect = element.find(f"{NAMESPACE}rect")
    assert rect is not None
    x, y, width, height = (float(rect.attrib[name]) for name in ("x", "y", "width", "height"))
    return x, y, x + width, y + height

"""docs/reference/settings.md: the settings of a Store by its docstring, and the environment."""

import inspect
import re

from cw_store import Store

PAGE = "reference/settings.md"

ENVIRONMENT = {
    "CW_STORE_URL": "Which store is meant where none is named: a path or a URL as for `Store`.",
    "CW_STORE_KEYS": "Keys for credentials where none are given, by commas; the first encrypts.",
    "NO_COLOR": "The command line uses no colours on a terminal.",
}

OPENING = """# Settings and environment

`Store(url, **settings)`, and `Store.open` likewise, take these. The same stands in `help(Store)`.

"""

LAST = """
## Environment

Settings that are given win over the environment. The store reads the first two, the command line
(`cw-store`) all:

"""


def page() -> dict[str, str]:
    """Return the page's text by its path in docs/."""
    return {PAGE: _written()}


def settings() -> dict[str, tuple[str, str, str]]:
    """Return each setting's type, default and words by its name."""
    words = dict(_ITEM.findall(inspect.getdoc(Store) or ""))
    return {
        name: (
            str(parameter.annotation),
            _default(parameter.default),
            re.sub(r"\s+", " ", words[name]).strip(),
        )
        for name, parameter in inspect.signature(Store).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }


_ITEM = re.compile(r"^- `(\w+)`: (.*(?:\n  .*)*)", re.M)


def _default(value: object) -> str:
    return f"{value:_}" if isinstance(value, int) and not isinstance(value, bool) else repr(value)


def _written() -> str:
    told = inspect.getdoc(Store) or ""
    url = told.partition("\n\n")[2].partition("\n\n")[0]
    each = [
        f"## {name}\n\n`{kind}`, by default `{default}`\n\n{words[0].upper()}{words[1:]}\n"
        for name, (kind, default, words) in settings().items()
    ]
    environment = [f"- `{name}`: {words}\n" for name, words in ENVIRONMENT.items()]
    return OPENING + f"## url\n\n{url}\n\n" + "\n".join(each) + LAST + "".join(environment)

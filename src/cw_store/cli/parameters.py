"""Parameters that many commands have."""

from cyclopts import Parameter

from cw_store.cli.completers import offers


def word(help: str, metavar: str | None = None) -> Parameter:
    """Return the parameter of a word that may begin with a hyphen, as ids and answers may."""
    return Parameter(help=help, metavar=metavar, allow_leading_hyphen=True)


def id_of(help: str, *kinds: str) -> Parameter:
    """Return the parameter of an id or a name, of which Tab offers those of these kinds."""
    return Parameter(help=help, metavar="ID", allow_leading_hyphen=True, completer=offers(*kinds))


def flag(help: str, *aliases: str) -> Parameter:
    """Return the parameter of an option that is there or not."""
    return Parameter(help=help, alias=aliases, negative="", show_default=False)

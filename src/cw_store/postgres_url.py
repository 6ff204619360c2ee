"""PostgreSQL URLs, as libpq and SQLAlchemy write them: all of one is followed, or it is refused.

What is refused is named, unless it could be a piece of a password.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote

SCHEMES = ("postgresql", "postgres", "postgresql+asyncpg", "postgres+asyncpg")

_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_TLS_VERSIONS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_SESSION_ATTRIBUTES = (
    "any",
    "read-write",
    "read-only",
    "primary",
    "standby",
    "prefer-standby",
)

_PASSED_ON = ("sslrootcert", "sslcert", "sslkey", "sslpassword", "sslcrl", "krbsrvname")
"""Options whose value is taken as it is."""

_CHOICES = {
    "sslmode": _SSL_MODES,
    "sslnegotiation": ("postgres", "direct"),
    "ssl_min_protocol_version": _TLS_VERSIONS,
    "ssl_max_protocol_version": _TLS_VERSIONS,
    "gsslib": ("gssapi", "sspi"),
    "target_session_attrs": _SESSION_ATTRIBUTES,
}
"""Options with a fixed choice of values, each of which is followed."""

_ONLY = {
    "channel_binding": ("prefer", "disable"),
    "gssencmode": ("prefer", "disable"),
    "gssdelegation": ("0",),
    "sslcompression": ("0",),
    "sslsni": ("1",),
    "sslcertmode": ("allow",),
    "load_balance_hosts": ("disable",),
    "keepalives": ("1",),
    "client_encoding": ("utf8", "utf-8", "auto"),
}
"""Options with values that ask for what happens anyway; the others cannot be had here."""

_HINTS = {
    "timeout": "pass busy_timeout= or the option connect_timeout",
    "command_timeout": "pass busy_timeout=",
    "pool_size": "pass pool_size=",
    "service": "write what the service file says into the URL",
    "servicefile": "write what the service file says into the URL",
    "schema": "write options=-csearch_path%3Dname",
    "currentSchema": "write options=-csearch_path%3Dname",
    "search_path": "write options=-csearch_path%3Dname",
    "hostaddr": "write the address as the host",
}

_OWN_SETTINGS = {
    "lock_timeout": "pass busy_timeout=",
    "default_transaction_isolation": "every transaction of a store says its own level",
    "default_transaction_read_only": "pass read_only=",
    "default_transaction_deferrable": "every transaction of a store says its own mode",
    "client_encoding": "a store talks UTF-8",
    "standard_conforming_strings": "a store relies on it",
}
"""Settings of the server that a store makes itself."""

_FORM = re.compile(
    r"(?:(?P<user>[^:/@]*)(?::(?P<password>[^@]*))?@)?"
    r"(?P<hosts>[^/?]*)(?:/(?P<database>[^?]*))?(?:\?(?P<query>.*))?",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True, repr=False)
class Server:
    """A PostgreSQL database and how it is connected to; None is what the driver does by itself."""

    hosts: tuple[tuple[str, int | None], ...] = ()
    """Names, addresses or folders of sockets, with their ports, in the order to try them."""
    database: str | None = None
    user: str | None = None
    password: str | None = None
    passfile: str | None = None
    tls: tuple[tuple[str, str], ...] = ()
    """Options of TLS and GSSAPI under libpq's names; one is the password of a key."""
    connect_timeout: float | None = None
    target_session_attrs: str = "any"
    application_name: str = "cw_store"
    settings: tuple[tuple[str, str], ...] = ()
    """What is set on the server once connected."""
    startup_options: str | None = None
    """What the server is told while connecting, where `options` holds more than settings."""
    statement_cache_size: int | None = None

    def __str__(self) -> str:
        """Show it without user, password and options: any of these can hold a secret."""
        hosts = ",".join(
            (f"[{host}]" if ":" in host else quote(host, safe="")) + (f":{port}" if port else "")
            for host, port in self.hosts
        )
        return f"postgresql://{hosts}/{quote(self.database or '')}"

    def __repr__(self) -> str:
        """Show no more than str does."""
        return f"Server({str(self)!r})"


def parse_server(rest: str) -> Server:
    """Return what the URL means whose part behind `://` this is; raises ValueError."""
    if "\0" in unquote(rest) or not _can_be_sent(rest):
        raise ValueError("the PostgreSQL URL holds a character that no server takes")
    form = _FORM.fullmatch(rest)
    assert form is not None  # every part may be empty
    if "@" in f"{form['hosts']}{form['database'] or ''}":
        raise ValueError("the PostgreSQL URL holds an @ too many: in a password write %40 for it")
    options = _Options(form["query"] or "")
    for name, value in (("user", form["user"]), ("password", form["password"])):
        options.add(name, value and unquote(value))
    options.add("dbname", form["database"] and unquote(form["database"]))
    settings, startup_options = _settings(options.take("options"))
    server = Server(
        hosts=_hosts(form["hosts"], options),
        database=options.take("dbname") or options.take("database"),
        user=options.take("user"),
        password=options.take("password"),
        passfile=options.take("passfile"),
        tls=tuple(_tls(options)),
        connect_timeout=_seconds(options.take("connect_timeout")),
        target_session_attrs=options.choose("target_session_attrs") or "any",
        application_name=(
            options.take("application_name")
            or options.take("fallback_application_name")
            or "cw_store"
        ),
        statement_cache_size=_cache_size(options),
        settings=settings,
        startup_options=startup_options,
    )
    options.take("fallback_application_name")
    for name in _ONLY:
        options.check_only(name)
    options.refuse_rest()
    return server


def _can_be_sent(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


class _Options:
    """What stands behind the question mark, taken out one by one; what stays is refused."""

    def __init__(self, query: str) -> None:
        self._values: dict[str, str] = {}
        self._twice: set[str] = set()
        # What stands behind an & that was not written %26 can be the end of a password.
        self._may_hide = "password" in query
        for name, value in parse_qsl(query, keep_blank_values=True):
            if name == "host" and name in self._values:  # SQLAlchemy's way to write several
                self._values[name] += f",{value}"
            else:
                self.add(name, value)

    def add(self, name: str, value: str | None) -> None:
        if value:
            if name in self._values:
                self._twice.add(name)
            self._values[name] = value
        elif value is not None:
            self._values.setdefault(name, "")  # libpq's way to say nothing

    def take(self, name: str) -> str | None:
        return self._values.pop(name, None) or None

    def choose(self, name: str) -> str | None:
        value = self.take(name)
        if value is not None and value not in _CHOICES[name]:
            raise ValueError(f"{name} in the URL is one of {', '.join(_CHOICES[name])}")
        return value

    def check_only(self, name: str) -> None:
        value = self.take(name)
        if value is not None and value.lower() not in _ONLY[name]:
            raise ValueError(
                f"the driver cannot do what {name} in the URL asks for; leave it out, or write "
                f"{name}={_ONLY[name][0]}"
            )

    def refuse_rest(self) -> None:
        for name in self._values:
            hint = f": {_HINTS[name]}" if name in _HINTS else ""
            is_name = re.fullmatch(r"[\w.]+", name, re.ASCII) is not None
            shown = repr(name) if hint or (is_name and not self._may_hide) else "an option"
            raise ValueError(f"cw_store does not follow {shown} in a PostgreSQL URL{hint}")
        for name in sorted(self._twice):
            raise ValueError(f"the URL says {name} twice")


def _hosts(authority: str, options: _Options) -> tuple[tuple[str, int | None], ...]:
    listed, ports = options.take("host"), options.take("port")
    if authority and listed:
        raise ValueError("the URL says host twice")
    if not (authority or listed):
        return (("", _port(ports)),) if ports else ()
    hosts = [_host(part, authority != "") for part in (listed or authority).split(",")]
    if ports is None:
        return tuple(hosts)
    numbers = [_port(part) for part in ports.split(",")]
    if any(port is not None for _, port in hosts):
        raise ValueError("the URL says port twice")
    if len(numbers) not in (1, len(hosts)):
        raise ValueError("the URL has another number of ports than of hosts")
    numbers *= len(hosts) // len(numbers)
    return tuple((host, port) for (host, _), port in zip(hosts, numbers, strict=True))


def _host(part: str, encoded: bool) -> tuple[str, int | None]:
    if part.startswith("["):
        address, bracket, rest = part[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError("the address in the URL has no ] at its end")
        return address, _port(rest[1:])
    if part.startswith("/"):
        return part, None
    host, _, port = part.rpartition(":") if ":" in part else (part, "", "")
    if encoded:
        host = unquote(host)
    if ":" in host:
        raise ValueError("write an IPv6 address in the URL in brackets: [::1]:5432")
    if not host or host.startswith("@"):
        raise ValueError("a host is missing in the URL, or is no name, address or path of a socket")
    return host, _port(port)


def _port(text: str | None) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and 0 < int(text[:9]) < 65536):
        raise ValueError("a port in the URL is no number from 1 to 65535")
    return int(text)


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    if not re.fullmatch(r"-?[0-9]{1,9}", text):
        raise ValueError("connect_timeout in the URL is a whole number of seconds")
    return float(text) if int(text) > 0 else None


def _cache_size(options: _Options) -> int | None:
    sizes = [
        options.take(name) for name in ("statement_cache_size", "prepared_statement_cache_size")
    ]
    given = [size for size in sizes if size is not None]
    if any(not re.fullmatch(r"[0-9]{1,9}", size) for size in given):
        raise ValueError("the size of the cache of statements in the URL is no whole number")
    return min(map(int, given)) if given else None


def _tls(options: _Options) -> Iterator[tuple[str, str]]:
    short = options.take("ssl")  # SQLAlchemy's and JDBC's
    if short is not None:
        options.add("sslmode", "require" if short == "true" else short)
    mode = options.choose("sslmode")
    root = options.take("sslrootcert")
    if root == "system":
        if mode not in (None, "verify-full"):
            raise ValueError("sslrootcert=system in the URL needs sslmode=verify-full")
        mode = "verify-full"
    if mode is not None:
        yield "sslmode", mode
    if root is not None:
        yield "sslrootcert", root
    for name in _PASSED_ON:
        value = options.take(name)
        if value is not None:
            yield name, value
    for name in ("sslnegotiation", "ssl_min_protocol_version", "ssl_max_protocol_version"):
        value = options.choose(name)
        if value is not None:
            if value == "direct" and mode not in ("require", "verify-ca", "verify-full"):
                raise ValueError("sslnegotiation=direct in the URL needs sslmode=require or more")
            yield name, value
    library = options.choose("gsslib")
    if library is not None:
        yield "gsslib", library


def _settings(options: str | None) -> tuple[tuple[tuple[str, str], ...], str | None]:
    """Tell settings, which a pooler in between need not know of, from what only starts a server."""
    words = iter(_words(options or ""))
    settings: list[tuple[str, str]] = []
    for word in words:
        if word == "-c":
            setting = next(words, "")
        elif word.startswith(("-c", "--")):
            setting = word[2:]
        else:
            return (), options
        name, equals, value = setting.partition("=")
        name = name.replace("-", "_").lower()  # the server knows no case
        if not equals or not re.fullmatch(r"[a-z_][\w.]*", name):
            raise ValueError("options in the URL holds a setting without a name or a value")
        if name in _OWN_SETTINGS:
            raise ValueError(f"{name} cannot be set by options in the URL: {_OWN_SETTINGS[name]}")
        settings.append((name, value))
    return tuple(settings), None


def _words(options: str) -> list[str]:
    """Split at blanks; one that belongs to a value has a backslash before it."""
    words = re.findall(r"(?:\\.|[^\s\\])+", options, re.DOTALL)
    return [re.sub(r"\\(.)", r"\1", word, flags=re.DOTALL) for word in words]

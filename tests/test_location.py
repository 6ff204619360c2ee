"""Where a url leads: all of it is followed, or it is refused, and no password is shown."""

import os
import re
import traceback
from pathlib import Path

import pytest

from cw_store import Store
from cw_store.location import ENVIRONMENT_VARIABLE, locate
from cw_store.postgres_url import Server


def server_at(url: str) -> Server:
    location = locate(url)
    assert location.server is not None and location.path is None and not location.is_memory
    return location.server


# Paths.


@pytest.mark.parametrize(
    "path",
    [
        "a b.db",
        "50%.db",
        "what?.db",
        "two\nlines.db",
        "./ada:secret@host",
        "/var/a:b/c@d.db",
        "~/cw.db",
        r"C:\Users\ada@work\cw.db",
        "postgres.db",
        "sqlite/cw.db",
        "Über.db",
    ],
)
def test_what_can_be_a_path_is_one(path: str) -> None:
    assert locate(path).path == Path(path).absolute()


@pytest.mark.parametrize("path", ["ada:secret@host/db", "file:x", "postgresql:/x", "a?mode=ro"])
def test_a_path_object_is_a_path_whatever_it_looks_like(path: str) -> None:
    location = locate(Path(path))
    assert location.path == Path(path).absolute() and not location.read_only


def test_something_else_than_a_path_or_text_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="not bytes"):
        locate(b"cw.db")  # pyright: ignore[reportArgumentType] -- what is tested


# SQLite.


@pytest.mark.parametrize(
    ("url", "path", "read_only", "must_exist"),
    [
        ("sqlite:///cw.db", "cw.db", False, False),
        ("sqlite:////var/cw.db", "/var/cw.db", False, False),
        ("sqlite+aiosqlite:///sub/a%20b%3F.db", "sub/a b?.db", False, False),
        ("sqlite:///cw.db?mode=ro", "cw.db", True, True),
        ("sqlite:///cw.db?mode=rw", "cw.db", False, True),
        ("sqlite:///cw.db?mode=rwc&cache=private", "cw.db", False, False),
        ("sqlite:///file:cw.db?mode=ro&uri=true", "cw.db", True, True),
        ("sqlite:///file:/var/a%2520b.db?uri=true", "/var/a b.db", False, False),
        ("file:cw.db", "cw.db", False, False),
        ("file:a%20b.db?mode=ro", "a b.db", True, True),
        ("file:///var/cw.db?mode=rw", "/var/cw.db", False, True),
        ("file://localhost/var/cw.db", "/var/cw.db", False, False),
    ],
)
def test_a_sqlite_url_is_followed(url: str, path: str, read_only: bool, must_exist: bool) -> None:
    location = locate(url)
    assert location.path == Path(path).absolute()
    assert (location.read_only, location.must_exist) == (read_only, must_exist)


@pytest.mark.parametrize("url", [":memory:", "sqlite://", "sqlite:///", "sqlite:///:memory:"])
def test_a_sqlite_url_without_a_file_is_memory(url: str) -> None:
    assert locate(url).is_memory


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("sqlite://folder/new.db", "three slashes"),
        ("sqlite://new.db", "three slashes"),
        ("sqlite://new.db?mode=ro", "three slashes"),
        ("sqlite:///cw.db?mode=memory", "mode"),
        ("sqlite:///cw.db?cache=shared", "cache=shared"),
        ("sqlite:///cw.db?timeout=5", "busy_timeout="),
        ("sqlite:///cw.db?nolock=1", "nolock"),
        ("sqlite:///cw.db?mode=ro&mode=rw", "twice"),
        ("sqlite:///file:shared?mode=memory&cache=shared&uri=true", "mode"),
        ("sqlite:///file:cw.db", "uri=true"),
        ("sqlite:///:memory:?cache=shared", "cache=shared"),
        ("sqlite://?mode=ro", "memory"),
        ("file:other?mode=memory&cache=shared", "mode"),
        ("file:cw.db?immutable=1", "immutable"),
        ("file://host/cw.db", "no host"),
        ("file:cw.db#1", "%23"),
    ],
)
def test_what_a_sqlite_url_cannot_have_is_refused_by_name(url: str, named: str) -> None:
    with pytest.raises(ValueError, match=re.escape(named)):
        locate(url)


@pytest.mark.parametrize("url", ["cw.db?mode=ro", "/var/cw.db?cache=private", "a b.db?timeout=5"])
def test_options_behind_a_plain_path_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="sqlite:///path"):
        locate(url)


async def test_a_mode_that_makes_no_file_makes_none(tmp_path: Path) -> None:
    for mode in ("ro", "rw"):
        with pytest.raises(Exception, match="there is no"):
            await Store.open(f"sqlite:///{tmp_path}/new.db?mode={mode}")
    assert os.listdir(tmp_path) == []


# PostgreSQL.


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("postgresql:///db", ()),
        ("postgresql://host/db", (("host", None),)),
        ("postgres://host:5433", (("host", 5433),)),
        ("postgresql://host:/db", (("host", None),)),
        ("postgresql+asyncpg://one:1,two:2/db", (("one", 1), ("two", 2))),
        ("postgresql://one,two/db?port=1,2", (("one", 1), ("two", 2))),
        ("postgresql://one,two/db?port=7", (("one", 7), ("two", 7))),
        ("postgresql:///db?host=one,two", (("one", None), ("two", None))),
        ("postgresql:///db?host=one:1&host=two:2", (("one", 1), ("two", 2))),
        ("postgresql:///db?host=/run/pg&port=5433", (("/run/pg", 5433),)),
        ("postgresql://%2Frun%2Fpg/db", (("/run/pg", None),)),
        ("postgresql://ada@[::1]:55/db", (("::1", 55),)),
        ("postgresql://[::1]/db", (("::1", None),)),
        ("postgresql:///db?port=5433", (("", 5433),)),
    ],
)
def test_hosts_are_tried_in_the_order_of_the_url(
    url: str, hosts: tuple[tuple[str, int | None], ...]
) -> None:
    assert server_at(url).hosts == hosts


def test_user_password_and_database_are_decoded() -> None:
    for url in (
        "postgresql://a%40b:p%2F%3A%40%25+x@host/my%20db",
        "postgresql://host?user=a%40b&password=p%2F%3A%40%25%2Bx&dbname=my+db",
    ):
        server = server_at(url)
        assert (server.user, server.password, server.database) == ("a@b", "p/:@%+x", "my db")


def test_options_of_libpq_are_followed() -> None:
    server = server_at(
        "postgresql://host/db?sslmode=verify-full&sslrootcert=/ca.pem&sslcert=c&sslkey=k"
        "&sslpassword=p&connect_timeout=10&application_name=app&target_session_attrs=primary"
        "&channel_binding=prefer&passfile=/pass&options=-csearch_path%3Da,b%20--work-mem%3D8MB"
        "%20-c%20x.y%3Da%5C%20b&sslsni=1&gssencmode=disable&client_encoding=utf8"
    )
    assert dict(server.tls) == {
        "sslmode": "verify-full",
        "sslrootcert": "/ca.pem",
        "sslcert": "c",
        "sslkey": "k",
        "sslpassword": "p",
    }
    assert server.connect_timeout == 10 and server.application_name == "app"
    assert server.target_session_attrs == "primary" and server.passfile == "/pass"
    assert dict(server.settings) == {"search_path": "a,b", "work_mem": "8MB", "x.y": "a b"}
    assert server.startup_options is None


def test_options_that_say_nothing_change_nothing() -> None:
    assert server_at("postgresql://host/db?sslmode=&connect_timeout=0&options=") == server_at(
        "postgresql://host/db"
    )


def test_other_ways_to_write_an_option_are_understood() -> None:
    for option, mode in (("ssl=disable", "disable"), ("ssl=true", "require")):
        assert dict(server_at(f"postgresql://host/db?{option}").tls) == {"sslmode": mode}
    for name in ("statement_cache_size", "prepared_statement_cache_size"):
        assert server_at(f"postgresql+asyncpg://host/db?{name}=0").statement_cache_size == 0
    assert server_at("postgresql://h/d?fallback_application_name=x").application_name == "x"
    assert server_at("postgresql://h/d").application_name == "cw_store"
    system = server_at("postgresql://host/db?sslrootcert=system")
    assert dict(system.tls) == {"sslmode": "verify-full", "sslrootcert": "system"}


def test_options_that_are_no_settings_are_sent_to_the_server_as_they_are() -> None:
    server = server_at("postgresql://host/db?options=endpoint%3Dep-1")
    assert server.startup_options == "endpoint=ep-1" and server.settings == ()


@pytest.mark.parametrize(
    ("rest", "named"),
    [
        ("host/db?sslmode=sometimes", "verify-full"),
        ("host/db?ssl=no", "sslmode"),
        ("host/db?sslmode=require&ssl=require", "sslmode twice"),
        ("host/db?sslrootcert=system&sslmode=require", "sslmode=verify-full"),
        ("host/db?sslnegotiation=direct", "sslmode=require"),
        ("host/db?channel_binding=require", "channel_binding"),
        ("host/db?gssencmode=require", "gssencmode"),
        ("host/db?require_auth=scram-sha-256", "require_auth"),
        ("host/db?client_encoding=latin1", "client_encoding"),
        ("host/db?target_session_attrs=both", "read-write"),
        ("host/db?connect_timeout=soon", "connect_timeout"),
        ("host/db?service=prod", "service file"),
        ("host/db?search_path=x", "options=-csearch_path"),
        ("host/db?pool_size=5", "pool_size="),
        ("host/db?frobnicate=1", "frobnicate"),
        ("host/db?options=-clock_timeout%3D5", "busy_timeout="),
        ("host/db?options=-cdefault_transaction_isolation%3Dserializable", "isolation"),
        ("host/db?options=-cDefault_Transaction_Isolation%3Dserializable", "isolation"),
        ("host/db?options=-c%20work_mem", "without a name or a value"),
        ("host/db?statement_cache_size=many", "cache"),
        ("host/db?host=other", "host twice"),
        ("host:1/db?port=2", "port twice"),
        ("one,two,three/db?port=1,2", "another number of ports"),
        ("ada@host/db?user=bob", "user twice"),
        ("host/db?dbname=other", "dbname twice"),
        ("host:0/db", "1 to 65535"),
        ("host:65536/db", "1 to 65535"),
        ("host:²/db", "1 to 65535"),
        ("::1/db", "brackets"),
        ("[::1/db", "]"),
        ("one,,two/db", "missing"),
        ("host/db\n", "white space"),
        ("ho\ud800st/db", "no server takes"),
        ("host/d%00b", "no server takes"),
    ],
)
def test_what_a_server_url_cannot_have_is_refused_by_name(rest: str, named: str) -> None:
    with pytest.raises(ValueError, match=re.escape(named)):
        locate(f"postgresql://{rest}")


# Passwords.

SECRET = "s3cr3t"

MISTYPED = [
    "postgresql:/ada:s3cr3t@host/db",
    "postgresql:ada:s3cr3t@host/db",
    "postgresql//ada:s3cr3t@host/db",
    "postgresql/ada:s3cr3t@host/db",
    "postgres;//ada:s3cr3t@host/db",
    " postgresql://ada:s3cr3t@host/db",
    "'postgresql://ada:s3cr3t@host/db'",
    "DATABASE_URL=postgresql://ada:s3cr3t@host/db",
    "psql postgresql://ada:s3cr3t@host/db",
    "POSTGRESQL://ada:s3cr3t@host/db",
    "ada:s3cr3t@host/db",
    "//ada:s3cr3t@host/db",
    "://ada:s3cr3t@host/db",
    "postgresql%3A%2F%2Fada%3As3cr3t%40host%2Fdb",
    "host=host user=ada password=s3cr3t dbname=db",
    "host/db?password=s3cr3t",
    "postgresql://ada:p@s3cr3t@host/db",
    "postgresql://host/ada:s3cr3t@db",
    "postgresql://ada:s3cr3t",
    "postgresql://ada:s3cr3t@host:port/db",
    "postgresql://host/db?password=x&s3cr3t",
    "postgresql://host/db?password=x&s3cr3t=1",
    "postgresql://host/db?sslmode=s3cr3t",
    "postgresql://host/db?options=-c%20s3cr3t",
    "mysql://ada:s3cr3t@host/db",
    "sqlite://ada:s3cr3t@host/db",
    "sqlite:///cw.db?ada:s3cr3t@host/db",
    "file:cw.db?ada:s3cr3t@host=db",
    "postgresql://host/db?ada:s3cr3t@host/db",
    ":s3cr3t@host/db",
    "postgresql://ada:s3cr3t@host%00/db",
    "file://ada:s3cr3t@host/db",
]


@pytest.mark.parametrize("url", MISTYPED)
def test_a_mistyped_url_is_refused_and_not_shown(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, url)
    for given in (url, None):
        with pytest.raises(ValueError) as raised:
            Store(given)
        said = "".join(traceback.format_exception(raised.value))
        chain = (raised.value, raised.value.__cause__, raised.value.__context__)
        assert SECRET not in f"{said}{chain!r}"
        assert given is not None or ENVIRONMENT_VARIABLE in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ada:s3cr3t@host/db",
        "postgresql://ada:12/s3cr3t@host/db",
        "postgresql://ada:s3cr3t%40@host/db",
        "postgresql://host/db?password=s3cr3t&sslpassword=s3cr3t",
        "postgresql://s3cr3t@host/db?options=-cx.y%3Ds3cr3t&application_name=s3cr3t",
    ],
)
def test_a_password_is_never_shown(url: str) -> None:
    store = Store(url)
    location = locate(url)
    assert SECRET not in f"{store!r} {store} {store.url} {location!r} {location}"


def test_a_server_is_shown_with_its_hosts_and_database() -> None:
    for url in (
        "postgresql://one:1,[::1]:2/my%20db",
        "postgresql://%2Frun%2Fpg/db",
        "postgresql:///db",
    ):
        assert Store(url).url == url

"""Serve what agents do to browsers: `python -m examples.events --store cw.db --port 8000`."""

import argparse
import asyncio
import os
import socket

import uvicorn

from cw_store import Store

from .app import application


class StreamingServer(uvicorn.Server):
    """A server that closes the store before it waits for its last answers.

    Streams never end by themselves. The store's end is theirs; browsers come back by themselves.
    """

    def __init__(self, store: Store) -> None:
        super().__init__(uvicorn.Config(application(store), log_level="warning"))
        self._store = store

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End all streams, then the rest."""
        await self._store.close()
        await super().shutdown(sockets)


async def serve(store_url: str, port: int) -> None:
    """Serve until SIGINT or SIGTERM, to this machine alone."""
    with socket.create_server(("127.0.0.1", port)) as listening:
        async with Store(store_url) as store:
            print(f"http://127.0.0.1:{listening.getsockname()[1]}/", flush=True)
            await StreamingServer(store).serve(sockets=[listening])


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m examples.events", description=__doc__)
    default = os.environ.get("CW_STORE_URL", "cw.db")
    parser.add_argument("--store", default=default, help="database file or URL")
    parser.add_argument("--port", type=int, default=8000, help="8000 if not given, 0 for any")
    given = parser.parse_args()
    asyncio.run(serve(given.store, given.port))


if __name__ == "__main__":
    main()

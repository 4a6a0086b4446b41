"""``python relay.py FROM TO``: bytes both ways, between ``tcp:PORT`` on loopback and ``unix:PATH``.

Prints the port that it listens on, where that is a port. Both sides of a network namespace have
the file system in common.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(1 << 16):
            writer.write(piece)
            await writer.drain()
    with contextlib.suppress(OSError, RuntimeError):
        writer.close()


async def _main(listen: str, target: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kind, _, where = target.partition(":")
        try:
            if kind == "unix":
                there = await asyncio.open_unix_connection(where)
            else:
                there = await asyncio.open_connection("127.0.0.1", int(where))
        except OSError:
            writer.close()
            return
        await asyncio.gather(_pump(reader, there[1]), _pump(there[0], writer))

    kind, _, where = listen.partition(":")
    if kind == "unix":
        server = await asyncio.start_unix_server(serve, where)
    else:
        server = await asyncio.start_server(serve, "127.0.0.1", int(where))
        print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201
    await server.serve_forever()


asyncio.run(_main(*sys.argv[1:]))

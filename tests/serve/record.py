"""Records what Prisma's own engine answers: ``python tests/serve/record.py [SET…]``.

The sets of calls in ``tests/serve/node/calls`` are run by Prisma Client on an embedded PostgreSQL, each from
an empty database, and their answers become ``tests/serve/node/expected``.  Needs Node and
``make node_modules/.ready``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from octavo.postgres.embedded import embedded_server

NODE = Path(__file__).parent / "node"
SETS = tuple(sorted(path.stem for path in (NODE / "calls").glob("*.mjs")))


def record(*names: str) -> None:
    with embedded_server(throwaway=True) as server:
        for name in names or SETS:
            server.create_database(name)
            environment = {**os.environ, "REFERENCE_URL": server.url(name), "TZ": "Asia/Tokyo"}
            subprocess.run(["node", str(NODE / "run.mjs"), name, "record"], env=environment, check=True)


if __name__ == "__main__":
    record(*sys.argv[1:])

"""``octavo serve``: the store for Prisma Client."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import click

from octavo.cli import console
from octavo.cli.parameters import Option
from octavo.cli.runner import Answer, Job, command
from octavo.errors import UsageError

if TYPE_CHECKING:
    from octavo.client import Client
    from octavo.serve.run import Listener

PORT = 5460
TOKEN = "cache/serve.token"

_FILE = {"exists": True, "dir_okay": False, "show_default": False}


@command("database_url", "data_dir", "files_root_if_there", "schema", "layout_file")
def serve(
    job: Job,
    port: Annotated[
        int | None,
        Option(
            "--port",
            help="Listen at this port of this machine (0: one that is free).",
            show_default=f"{PORT}, unless --socket is given",
            min=0,
            max=65535,
        ),
    ] = None,
    socket: Annotated[
        Path | None,
        Option(
            "--socket",
            help="Listen at a socket of this path, which its owner alone may use.",
            show_default=False,
        ),
    ] = None,
    cert: Annotated[
        Path | None, Option("--cert", help="Serve https at the port with this certificate.", **_FILE)
    ] = None,
    key: Annotated[Path | None, Option("--key", help="The certificate's key.", **_FILE)] = None,
    token_file: Annotated[
        Path | None,
        Option(
            "--token-file",
            help="The file with the token that clients give; it is made if it does not exist.",
            show_default=f"{TOKEN} in the data folder",
        ),
    ] = None,
) -> Answer | None:
    """Serve the data to Prisma Client, by a DATABASE_URL.

    DATA_BACKEND says where the data is: prisma, json or dual.  Prints the DATABASE_URL to set, and ends at
    SIGTERM or SIGINT, when what is under way is done.
    """
    if (cert is None) != (key is None):
        raise UsageError("--cert and --key go together")
    try:
        from octavo.serve.access import token_at
        from octavo.serve.run import listen_at_path, listen_on_port
        from octavo.serve.run import serve as run
    except ModuleNotFoundError as error:
        hint = "pip install 'octavo[serve]'"
        raise UsageError(f"octavo serve needs the package {error.name}", hint=hint) from error
    from octavo.backend import get_data_backend

    backend = get_data_backend().value
    with closing(_connected(job, backend)) as client:
        token = token_at(token_file or job.data_dir / TOKEN)
        listeners: list[Listener] = []
        if port is not None or socket is None:
            listeners.append(listen_on_port(PORT if port is None else port, cert, key))
        if socket is not None:
            listeners.append(listen_at_path(socket))
        told = told_of(listeners, token, backend)
        run(client, token, listeners, backend, lambda: _say(job, told))
    return None


def _connected(job: Job, backend: str) -> Client:
    from octavo.opening import connect

    opened = connect(
        backend,
        database_url=job.database_url,
        data_dir=job.data_dir,
        files_root=job.files_root_if_there,
        schema=job.schema,
        layout=job.layout_file,
    )
    return cast("Client", opened)


def told_of(listeners: list[Listener], token: str, backend: str) -> dict[str, Any]:
    """What an application is to be told to use the server."""
    told: dict[str, Any] = {"ready": True, "backend": backend}
    for listener in listeners:
        if listener.path is not None:
            path = listener.path.resolve()
            told["socket"], told["token"] = str(path), token
            told["prisma7"] = _line(f'socket: "{path}", token: "{token}"')
            continue
        place = f"127.0.0.1:{listener.port}"
        secure = listener.cert is not None
        scheme = "prisma" if secure else "prisma+postgres"
        told["url"] = f"{'https' if secure else 'http'}://{place}"
        told["DATABASE_URL"] = f"{scheme}://{place}/?api_key={token}"
        told.setdefault("prisma7", _line(f'url: "{told["url"]}", token: "{token}"'))
    return told


def _line(given: str) -> str:
    return f"new PrismaClient({{ adapter: octavo.adapter() }}).$extends(octavo({{ {given} }}))"


def _say(job: Job, told: dict[str, Any]) -> None:
    if job.as_json:
        console.answer(told)
    else:
        if "DATABASE_URL" in told:
            click.echo(f'DATABASE_URL="{told["DATABASE_URL"]}"')
        click.echo(f"Prisma 7: {told['prisma7']}")
        click.echo(f"ready: serving {told['backend']}")
    sys.stdout.flush()

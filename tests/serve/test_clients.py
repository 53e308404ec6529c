"""Prisma's clients of several versions and what is built on them, against a server."""

from __future__ import annotations

import datetime
import ipaddress
import json
import signal
import threading
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from serve.conftest import empty_store
from serve.prisma import by_engine, needs, run
from serve.serving import VIEW, Served, query
from serve.test_protocol import USER, tag

NOT_IN_5 = (
    *("findFirstOrThrow missing", "findUniqueOrThrow missing"),
    *("omit", "omit nested", "updateManyAndReturn", "all that is left"),
)
"""calls that Prisma 5 does not have, or answers by itself; and what follows from them"""


@needs("prisma-6")
def test_the_adapter_of_auth_js_behaves_as_published(tmp_path: Path) -> None:
    with Served(empty_store(tmp_path / "data")) as server:
        run("auth.mjs", served=server)


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of the loopback address, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "octavo")])
    now = datetime.datetime.now(datetime.UTC)
    addresses = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(addresses, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    secret = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    paths[1].write_bytes(secret)
    return paths


@pytest.mark.slow
@needs("prisma-5")
@pytest.mark.parametrize("name", ["chat", "reading", "writing"])
def test_prisma_5_speaks_https(name: str, tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    store = empty_store(tmp_path / "data")
    with Served(store, "--port", "0", "--cert", str(cert), "--key", str(key)) as server:
        assert server.url.startswith("prisma://")
        env = {"PRISMA": "prisma-5", "NODE_EXTRA_CA_CERTS": str(cert), "EXCEPT": json.dumps(NOT_IN_5)}
        run("run.mjs", name, served=server, env=env)


@pytest.mark.slow
@needs("prisma-7")
def test_nested_transactions_are_kept_or_taken_back_by_themselves(tmp_path: Path) -> None:
    with Served(empty_store(tmp_path / "data"), "--socket", str(tmp_path / "s")) as server:
        run("nested.mjs", env=by_engine(server, "prisma-7"))


@needs("prisma-7")
def test_a_write_whose_answer_is_lost_is_not_repeated() -> None:
    run("cut.mjs", env={"PRISMA": "prisma-7"})


# Deaths.


class Writer(threading.Thread):
    """A caller that writes pairs of tags, each pair in one transaction, until the server is gone."""

    def __init__(self, served: Served, number: int) -> None:
        super().__init__()
        self._served, self._number = served, number
        self.acknowledged: list[str] = []

    def run(self) -> None:
        for count in range(100_000):
            name = f"{self._number}-{count}"
            pair = [query("Tag", "createOne", {"data": tag(f"{name}-{part}")}) for part in "ab"]
            try:
                _, answer = self._served.request(
                    "POST", f"{VIEW}/graphql", {"batch": pair, "transaction": {}}
                )
            except (OSError, ValueError):
                return
            assert "batchResult" in answer, answer
            self.acknowledged.append(name)


@pytest.mark.parametrize(
    "moment", [0.2, *(pytest.param(n / 50, marks=pytest.mark.slow) for n in range(3, 40))]
)
def test_a_killed_server_has_kept_all_that_it_acknowledged_and_no_half(moment: float, tmp_path: Path) -> None:
    store = empty_store(tmp_path / "data")
    with Served(store) as server:
        server.upload()
        server.query("User", "createOne", {"data": USER})
        writers = [Writer(server, number) for number in range(4)]
        for writer in writers:
            writer.start()
        time.sleep(moment)
        server.stop(signal.SIGKILL)
        for writer in writers:
            writer.join()
    with Served(store) as again:
        again.upload()
        found = {row["id"] for row in again.query("Tag", "findMany")}
        acknowledged = {name for writer in writers for name in writer.acknowledged}
        assert {f"{name}-{part}" for name in acknowledged for part in "ab"} <= found
        assert {name[:-1] + "a" for name in found} | {name[:-1] + "b" for name in found} == found

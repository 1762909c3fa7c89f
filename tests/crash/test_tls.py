"""A database that insists on TLS: with the right certificate all works, else the worker says what is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from example_project.embedded_postgres import Cluster
from tests.crash.conftest import ENVIRONMENT
from tests.support.followers import Followers
from tests.support.server import ElectricServer
from tests.support.tls_proxy import Authority, TlsProxy

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("tls")]


class Secured:
    """A server, and the proxy through which its processes reach the database."""

    def __init__(self, server: ElectricServer, proxy: TlsProxy, folder: Path) -> None:
        self.server = server
        self.proxy = proxy
        self.folder = folder

    def refusal(self, **options: object) -> str:
        """The last words of a worker that connects so."""
        server = self.server
        good = server.env["DATABASE_URL"]
        server.env["DATABASE_URL"] = self.proxy.url(server.database, **options)
        try:
            worker = server.start("refused", "manage.py", "run_electric_replication")
        finally:
            server.env["DATABASE_URL"] = good
        assert worker.wait(30) == 3, server.log("refused")
        assert "Traceback" not in server.log("refused")
        return server.log("refused").strip().splitlines()[-1]


@pytest.fixture(scope="module")
def secured(
    postgres_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("tls")
    right = Authority(folder, "right")
    Authority(folder, "wrong")
    with TlsProxy(postgres_cluster, right) as proxy:
        server = ElectricServer(postgres_cluster, ENVIRONMENT)
        server.env["DATABASE_URL"] = proxy.url(
            server.database, sslmode="verify-ca", sslrootcert=right.certificate
        )
        with server:
            yield Secured(server, proxy, folder)


def test_all_works_with_the_right_certificate(
    secured: Secured, follow_all: Callable[[ElectricServer], Followers]
) -> None:
    server, followers = secured.server, follow_all(secured.server)
    server.sql("CREATE TABLE sealed (id int PRIMARY KEY)", "INSERT INTO sealed VALUES (1)")
    followers.make_marks()
    followers.follow(table="sealed")
    followers.settle()
    server.sql("INSERT INTO sealed SELECT generate_series(2, 20000)")
    followers.settle()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            {"sslmode": "verify-ca", "sslrootcert": "nowhere.crt"},
            'root certificate file ".*nowhere',
        ),
        ({"sslmode": "verify-ca", "sslrootcert": "right.key"}, "root certificate file"),
        ({"sslmode": "verify-ca", "sslrootcert": "wrong.crt"}, "certificate verify failed"),
        ({"sslmode": "disable", "sslrootcert": "right.crt"}, "no encryption"),
    ],
)
def test_what_is_wrong_is_said(secured: Secured, options: dict[str, str], says: str) -> None:
    last = secured.refusal(**options | {"sslrootcert": secured.folder / options["sslrootcert"]})
    assert re.search(says, last), last
    assert "See sslmode and sslrootcert" in last

"""A pytest plugin: the private PostgreSQL of a test run.

pytest-django reads the settings before any conftest is loaded, and they want a ``DATABASE_URL``. So the place
of a throw-away cluster is chosen here, as early as plugins load; its server starts when the first test asks
for the fixture ``postgres_cluster``. Tests that need no database start none. A ``DATABASE_URL`` that is
set already is not used: no test touches a database that somebody cares about.

Worker processes of pytest-xdist inherit the place through the environment and join the same server.
"""

from __future__ import annotations

import atexit
import os
import tempfile
from pathlib import Path

import pytest

from example_project.embedded_postgres import THROW_AWAY_SETTINGS, Cluster, give_to_server

_PLACE = "ELECTRIC_TEST_CLUSTER"

# Dozens of workers and shapes, each with a slot and some connections, at once.
_ROOM = {"max_connections": 1000, "max_wal_senders": 120, "max_replication_slots": 120}


def _choose_place() -> str:
    directory = Path(tempfile.mkdtemp(prefix="django-electric-", dir="/tmp"))
    give_to_server(directory)
    return str(directory)


_chosen_here = _PLACE not in os.environ
if _chosen_here:
    os.environ[_PLACE] = _choose_place()
_cluster = Cluster(os.environ[_PLACE], **{**THROW_AWAY_SETTINGS, **_ROOM})
os.environ["DATABASE_URL"] = _cluster.url("app")
if _chosen_here:
    atexit.register(_cluster.remove)  # also where pytest ends before it has begun


@pytest.fixture(scope="session")
def postgres_cluster() -> Cluster:
    """The running private PostgreSQL of this test run, with an empty database ``app``."""
    cluster = _cluster.start()
    cluster.create_database("app")
    return cluster

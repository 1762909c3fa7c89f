"""LeastServer: worker and web run as a role that may what ``electric_sql`` prints, and nothing else."""

from __future__ import annotations

import subprocess
import sys

from example_project.embedded_postgres import Cluster
from tests.support.server import ROOT, ElectricServer

ENVIRONMENT = {
    "DJANGO_SETTINGS_MODULE": "tests.migrated.settings",
    "ELECTRIC_LONG_POLL_TIMEOUT": "400",
    "ELECTRIC_MANUAL_TABLE_PUBLISHING": "true",
}


class LeastServer(ElectricServer):
    """``manage`` and ``migrate_to`` run as the owner of everything."""

    is_migrated_anew = True

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster, ENVIRONMENT)
        self.role = f"r_{self.database}"
        self._owner = dict(self.env)
        self._migrator: subprocess.Popen[str] | None = None

    def __exit__(self, *_: object) -> None:
        if self._migrator is not None:
            self._migrator.communicate()
        self.stop_web()
        self.stop_worker()
        self.sql(f"DROP OWNED BY {self.role}", f"DROP ROLE {self.role}")
        super().__exit__(*_)

    def migrate(self) -> None:
        """All, but of the test's own migrations only the first; then everybody else becomes the role."""
        for app in ("django_electric", "demo"):
            self.migrate_to(app=app)
        self.migrate_to("0001")
        self.sql(self.manage("electric_sql", "--role", self.role))
        self.env["DATABASE_URL"] = self.database_url.replace("postgres@", f"{self.role}@", 1)

    def migrate_to(self, name: str = "", app: str = "migrated") -> None:
        """Forwards or backwards; without a name as far as it goes."""
        if self._migrator is None:
            self._migrator = subprocess.Popen(
                [sys.executable, "-m", "tests.migrated.migrate"],
                cwd=ROOT,
                env=self._owner,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self._migrator.stdin
        assert self._migrator.stdout
        print(app, name, file=self._migrator.stdin, flush=True)
        assert self._migrator.stdout.readline() == "done\n"

    def manage(self, *arguments: str) -> str:
        given, self.env = self.env, self._owner
        try:
            return super().manage(*arguments)
        finally:
            self.env = given

    def handles(self) -> set[str]:
        """Of the shapes that exist."""
        return {str(row[0]) for row in self.query("SELECT handle FROM django_electric_shape")}

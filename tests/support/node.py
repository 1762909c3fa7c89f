"""A node process with a client from npm, spoken to in JSON lines; NodeClient is one that follows shapes."""

from __future__ import annotations

import itertools
import json
import queue
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

WAIT_SECONDS = 30.0
Rows = Sequence[dict[str, str | None]]


class NodeProcess:
    """Runs *driver*, whose imports find the packages of *folder*; used as a context manager.

    In the folder there is a link ``drivers`` to where the driver lies (``tests/clients/conftest.py``).
    """

    def __init__(self, driver: Path, folder: Path) -> None:
        seen_from_folder = folder / "drivers" / driver.name
        self._command = [
            "node", "--preserve-symlinks", "--preserve-symlinks-main", str(seen_from_folder),
        ]  # fmt: skip
        self._ids = itertools.count()
        self._answers: queue.Queue[dict[str, Any] | None] = queue.Queue()

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.kill()
        self._process.wait()
        self._reader.join()
        self._process.stdin.close()
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._answers.put(json.loads(line))
        self._answers.put(None)

    def call(self, command: str, *, patience: float = WAIT_SECONDS, **arguments: object) -> Any:
        """Send a command; its result."""
        assert self._process.stdin
        number = next(self._ids)
        self._process.stdin.write(
            json.dumps({"id": number, "command": command, **arguments}) + "\n"
        )
        self._process.stdin.flush()
        answer = self._answers.get(timeout=patience + 20)
        assert answer is not None, "node ended"
        assert answer["id"] == number
        assert "error" not in answer, answer["error"]
        assert not answer["faults"], answer["faults"]
        return answer["result"]

    def expect(
        self, rows: Rows, timeout: float = WAIT_SECONDS, **arguments: object
    ) -> dict[str, Any]:
        """Wait until what the driver's ``expect`` reads is these rows; its report."""
        report: dict[str, Any] = self.call(
            "expect", patience=timeout, rows=rows, timeout=timeout * 1000, **arguments
        )
        assert report["equal"], report
        return report


class NodeClient(NodeProcess):
    """``tests/clients/driver.mjs``: @electric-sql/client itself, with *options* for every stream."""

    def __init__(
        self, driver: Path, folder: Path, options: Mapping[str, object] | None = None
    ) -> None:
        super().__init__(driver, folder)
        self.options = dict(options or {})

    def follow(
        self, url: str, options: Mapping[str, object] | None = None, **params: object
    ) -> NodeShape:
        """Subscribe to a shape of ``/v1/shape``; *params* as the client's own ``params`` option."""
        return self.follow_at(f"{url}/v1/shape", options, **params)

    def follow_at(
        self, url: str, options: Mapping[str, object] | None = None, **params: object
    ) -> NodeShape:
        """Subscribe to whatever shape there is at *url*."""
        name = f"shape-{next(self._ids)}"
        self.call(
            "subscribe",
            name=name,
            url=url,
            params=params,
            options={**self.options, **(options or {})},
        )
        return NodeShape(self, name)


class NodeShape:
    """One shape that the client follows."""

    def __init__(self, client: NodeClient, name: str) -> None:
        self._client = client
        self._name = name

    def expect(self, rows: Rows, timeout: float = WAIT_SECONDS) -> dict[str, Any]:
        """Wait until the materialised rows are these; what there is to tell about the stream."""
        report = self._client.expect(rows, timeout, name=self._name)
        assert not report["faults"], report
        return report

    def report(self) -> dict[str, Any]:
        report: dict[str, Any] = self._client.call("report", name=self._name)
        return report

    def ends(self, timeout: float = WAIT_SECONDS) -> dict[str, Any]:
        """Wait until the stream has ended with an error."""
        report: dict[str, Any] = self._client.call(
            "ends", patience=timeout, name=self._name, timeout=timeout * 1000
        )
        assert report["ended"], report
        return report

    def snapshot(self, **subset: object) -> dict[str, Any]:
        """The client's ``requestSnapshot``: its metadata and its rows, values as text."""
        answer: dict[str, Any] = self._client.call("snapshot", name=self._name, subset=subset)
        return answer

    def typed(self) -> list[dict[str, Any]]:
        """The rows, each value with its JavaScript type (``typed`` in ``lines.mjs``)."""
        rows: list[dict[str, Any]] = self._client.call("typed", name=self._name)
        return rows

    def stop(self) -> None:
        self._client.call("stop", name=self._name)

"""NodeClient: a node process that follows shapes with @electric-sql/client, spoken to in JSON lines."""

from __future__ import annotations

import itertools
import json
import queue
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

WAIT_SECONDS = 30.0
Rows = Sequence[dict[str, str | None]]


class NodeClient:
    """Used as a context manager."""

    def __init__(self, driver: Path, folder: Path) -> None:
        self._command = ["node", str(driver), str(folder)]
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

    def follow(
        self, url: str, options: dict[str, object] | None = None, **params: object
    ) -> NodeShape:
        """Subscribe to a shape; *params* as the client's own ``params`` option."""
        name = f"shape-{next(self._ids)}"
        self.call(
            "subscribe", name=name, url=f"{url}/v1/shape", params=params, options=options or {}
        )
        return NodeShape(self, name)


class NodeShape:
    """One shape that the client follows."""

    def __init__(self, client: NodeClient, name: str) -> None:
        self._client = client
        self._name = name

    def expect(self, rows: Rows, timeout: float = WAIT_SECONDS) -> dict[str, Any]:
        """Wait until the materialised rows are these; what there is to tell about the stream."""
        report: dict[str, Any] = self._client.call(
            "expect", patience=timeout, name=self._name, rows=rows, timeout=timeout * 1000
        )
        assert report["equal"], report
        assert not report["faults"], report
        return report

    def report(self) -> dict[str, Any]:
        report: dict[str, Any] = self._client.call("report", name=self._name)
        return report

    def stop(self) -> None:
        self._client.call("stop", name=self._name)

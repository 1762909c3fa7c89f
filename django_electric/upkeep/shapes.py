"""What is known of shapes beside their rows in the catalogue: from their logs, the worker, the web processes.

The files that tell of all shapes are read once for a page, those of a shape once for the shape.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django_electric.conf import ElectricSettings
from django_electric.errors import ElectricError, ShapeGone, StorageError
from django_electric.models import Shape
from django_electric.replication.heartbeat import read_heartbeat
from django_electric.shapes.costs import COSTS_FILE, Cost, read_costs
from django_electric.shapes.explanation import Explanation
from django_electric.storage import FileStorage, LogState, ShapeStorage, state_file
from django_electric.web.presence import clients_by_handle


@dataclass(frozen=True, slots=True)
class ShapeFacts:
    """One shape, as it is at the moment."""

    log: LogState | None
    """None while there is no log."""
    explanation: Explanation | None
    """None if another version of the package wrote the definition."""
    cost: Cost | None
    """None where no condition is evaluated, or none was measured yet."""
    clients: int
    """Requests that wait for news."""
    behind: int | None
    """Bytes of WAL that the worker has not taken in yet; None while it is not heard of."""

    @property
    def is_indexed(self) -> bool | None:
        """Whether the worker finds the shape by an index, or need not look at all."""
        explanation = self.explanation
        return None if explanation is None else explanation.road not in ("evaluation", "subqueries")


def facts_of(shapes: Iterable[Shape], settings: ElectricSettings) -> dict[str, ShapeFacts]:
    """By handle."""
    root = settings.root
    storage = FileStorage(root)
    costs = read_costs(state_file.read(root / COSTS_FILE))
    clients = clients_by_handle(root)
    beat = read_heartbeat(root)
    return {
        shape.handle: ShapeFacts(
            log=log_state(storage, shape.handle),
            explanation=_explanation(shape),
            cost=costs.get(shape.handle),
            clients=clients[shape.handle],
            behind=None if beat is None or beat.is_stopped else beat.vitals.behind,
        )
        for shape in shapes
    }


def log_state(storage: ShapeStorage, handle: str) -> LogState | None:
    """What the log's files say; None while there is no log."""
    try:
        reader = storage.reader(handle)
    except ShapeGone:
        return None
    try:
        return reader.state()
    except StorageError:
        return None
    finally:
        reader.close()


def _explanation(shape: Shape) -> Explanation | None:
    try:
        return shape.explain()
    except (ElectricError, KeyError, TypeError, ValueError):
        return None


def summary(shape: Shape, facts: ShapeFacts) -> dict[str, object]:
    """For programs."""
    log = facts.log
    return {
        "handle": shape.handle,
        "table": f"{shape.schema_name}.{shape.table_name}",
        "where": shape.where or None,
        "columns": shape.columns or None,
        "status": shape.status,
        "first_rows": shape.snapshot_rows,
        "bytes": log.size if log else None,
        "offset": str(log.last_offset) if log and log.is_snapshot_complete else None,
        "clients": facts.clients,
        "behind": facts.behind,
        "road": facts.explanation.road if facts.explanation else None,
        "created_at": shape.created_at.isoformat(),
    }

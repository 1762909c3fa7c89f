"""Status: an installation on one screen, at one moment."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from django_electric.replication.heartbeat import Heartbeat
from django_electric.upkeep.facts import Facts, SlotFacts
from django_electric.upkeep.probes import is_alive, said_age, said_bytes
from django_electric.web.presence import clients_by_handle


@dataclass(frozen=True, slots=True)
class Status:
    """What `electric_status` says."""

    worker: str
    """``active``, ``elsewhere`` (its directory is not ours), ``waiting`` (only a standby), ``absent`` or
    ``unknown``."""
    heartbeat: Heartbeat | None
    heartbeat_age: float | None
    slot: SlotFacts | None
    shapes: int
    clients: int
    changes: float | None
    """Changed rows a second, of late."""
    unreachable: str

    @property
    def is_working(self) -> bool:
        return self.worker == "active"

    def to_json(self) -> dict[str, object]:
        """For programs."""
        beat = self.heartbeat
        return {
            "worker": self.worker,
            "heartbeat_age": self.heartbeat_age,
            "host": beat.host if beat else None,
            "pid": beat.pid if beat else None,
            "behind": beat.vitals.behind if beat else None,
            "changes_per_second": self.changes,
            "slot": asdict(self.slot) if self.slot else None,
            "shapes": self.shapes,
            "clients": self.clients,
            "unreachable": self.unreachable or None,
        }

    def __str__(self) -> str:
        lines = [("worker", self._worker()), ("slot", self._slot())]
        lines += [("shapes", str(self.shapes)), ("clients", f"{self.clients} wait for news")]
        lines += [("database", self.unreachable)] if self.unreachable else []
        return "\n".join(f"{name + ':':<9} {text}" for name, text in lines)

    def _worker(self) -> str:
        beat, age = self.heartbeat, self.heartbeat_age
        if beat is None or age is None:
            return self.worker
        where = f"process {beat.pid} on {beat.host}"
        if not self.is_working:
            return f"{self.worker}; last heard of {said_age(age)} ago, {where}"
        behind = said_bytes(beat.vitals.behind)
        return f"active, {where}; {behind} of WAL behind, {self.changes or 0:.1f} changes a second"

    def _slot(self) -> str:
        slot = self.slot
        if slot is None:
            return "none: the worker makes it when it first runs"
        read = "read" if slot.is_active else "not read"
        return f"{slot.name}, {read}, {slot.status}; keeps {said_bytes(slot.retained)} of WAL"


def status_of(facts: Facts, root: Path) -> Status:
    """What *facts* say, and how many clients wait."""
    beat = facts.storage.heartbeat
    has_samples = beat is not None and bool(beat.samples) and is_alive(facts)
    return Status(
        worker=worker_state(facts),
        heartbeat=beat,
        heartbeat_age=facts.storage.heartbeat_age,
        slot=facts.slot,
        shapes=facts.shapes,
        clients=clients_by_handle(root).total(),
        changes=beat.samples[-1].changes if beat is not None and has_samples else None,
        unreachable=facts.unreachable,
    )


def worker_state(facts: Facts) -> str:
    """As `Status.worker`."""
    if is_alive(facts):
        return "active"
    if facts.slot is not None and facts.slot.is_active:
        return "elsewhere"
    if facts.storage.has_standby:
        return "waiting"
    return "unknown" if facts.unreachable else "absent"

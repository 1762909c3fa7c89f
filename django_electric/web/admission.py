"""How many requests of each kind may be under way in this process (PROTOCOL section 7.7)."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Literal

from django_electric.conf import AdmissionLimits
from django_electric.errors import ElectricError

Kind = Literal["initial", "existing"]


class Overloaded(ElectricError):
    """Too many requests of one kind are under way."""

    def __init__(self, kind: Kind, limit: int) -> None:
        super().__init__()
        self.kind = kind
        self.limit = limit


class Admission:
    """Counts permits. The lock is for servers that run each request in a thread of its own."""

    def __init__(self, limits: AdmissionLimits) -> None:
        self._limits: dict[Kind, int] = {"initial": limits.initial, "existing": limits.existing}
        self.under_way: dict[Kind, int] = {"initial": 0, "existing": 0}
        self._lock = Lock()

    def admit(self, kind: Kind) -> Permit:
        """A permit to be released. Raises `Overloaded`."""
        with self._lock:
            if self.under_way[kind] >= self._limits[kind]:
                raise Overloaded(kind, self._limits[kind])
            self.under_way[kind] += 1
        return Permit(self, kind)

    def change(self, kind: Kind, by: int) -> None:
        """For `Permit` alone."""
        with self._lock:
            self.under_way[kind] += by


def _nothing() -> None:
    pass


class Permit:
    """One admitted request."""

    def __init__(self, admission: Admission, kind: Kind) -> None:
        self._admission = admission
        self._kind: Kind | None = kind
        self.on_release: Callable[[], None] = _nothing
        """Called once."""

    def becomes_existing(self) -> None:
        """The snapshot has started: from now on the request counts as an existing one, limit or not."""
        if self._kind == "initial":
            self._admission.change("initial", -1)
            self._admission.change("existing", 1)
            self._kind = "existing"

    def release(self) -> None:
        """Harmless when called twice."""
        if self._kind is not None:
            self._admission.change(self._kind, -1)
            self._kind = None
            self.on_release()

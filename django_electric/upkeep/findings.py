"""Finding: something that is not as it should be, in a sentence, and what to do about it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final, Literal

Severity = Literal["error", "warning", "note"]
_RANK: Final[dict[Severity, int]] = {"error": 0, "warning": 1, "note": 2}


@dataclass(frozen=True, slots=True)
class Finding:
    """What a probe found. An *error* stops replication or loses news; a *note* is to be known."""

    id: str
    """As in docs/reference/checks.md: ``electric.W021``."""
    severity: Severity
    text: str
    remedy: str

    @property
    def anchor(self) -> str:
        """Where the documentation tells more."""
        return _anchor(self.id)

    def to_json(self) -> dict[str, object]:
        """For programs."""
        return {**asdict(self), "docs": self.anchor}

    def __str__(self) -> str:
        return f"{self.severity}: {self.text} ({self.id})\n    {self.remedy}"


def docs_hint(remedy: str, identifier: str) -> str:
    """The hint of a system check: *remedy*, and where the documentation tells more."""
    return f"{remedy} See {_anchor(identifier)}."


def _anchor(identifier: str) -> str:
    return f"docs/reference/checks.md#{identifier.lower()}"


def in_order(findings: list[Finding]) -> list[Finding]:
    """The gravest first."""
    return sorted(findings, key=lambda finding: _RANK[finding.severity])

"""Conditions of a Katib resource: what it went through, in the order in which it last changed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

Condition = dict[str, str]


def timestamp(moment: datetime) -> str:
    """A moment as Kubernetes writes it: UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Conditions:
    """A list of conditions, changed by the rules of `setCondition` in Katib's `util.go` of experiments and trials."""

    def __init__(self, conditions: list[Condition] | None = None) -> None:
        self.items = list(conditions or [])

    def of(self, kind: str) -> Condition | None:
        """The condition of a type, or None."""
        return next((item for item in self.items if item["type"] == kind), None)

    def holds(self, kind: str) -> bool:
        """Whether the condition of a type is true."""
        found = self.of(kind)
        return found is not None and found["status"] == "True"

    def set(self, kind: str, reason: str, message: str, at: datetime, status: str = "True") -> None:
        """Make a condition the last one; nothing happens where it has this status and reason already."""
        old, now = self.of(kind), timestamp(at)
        if old is not None and (old["status"], old["reason"]) == (status, reason):
            return
        self.remove(kind)
        since = old["lastTransitionTime"] if old is not None and old["status"] == status else now
        self.items.append(
            {
                "type": kind,
                "status": status,
                "reason": reason,
                "message": message,
                "lastUpdateTime": now,
                "lastTransitionTime": since,
            }
        )

    def remove(self, kind: str) -> None:
        """Forget the condition of a type."""
        self.items = [item for item in self.items if item["type"] != kind]

    def end(self, kind: str, reason: str, message: str, at: datetime) -> None:
        """Set the last condition of something that ran, which is no longer running."""
        running = self.of("Running")
        if running is not None:
            self.set("Running", running["reason"], running["message"], at, status="False")
        self.set(kind, reason, message, at)

    def to_list(self) -> list[dict[str, Any]]:
        """The conditions as they stand in a resource."""
        return [dict(item) for item in self.items]

"""What a data set can be labelled for: one class per task, each in a file that holds all that the task is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from podium.plugins import Registry

if TYPE_CHECKING:
    from podium.tasks.base import Task

TASKS: Registry[Task] = Registry(
    "podium.tasks",
    "task",
    {
        "text-classification": "podium.tasks.text_classification:TASK",
        "ner": "podium.tasks.ner:TASK",
        "multi-label": "podium.tasks.multi_label:TASK",
    },
)
"""The tasks by name. Another package adds its own by an entry point of the group `podium.tasks`."""

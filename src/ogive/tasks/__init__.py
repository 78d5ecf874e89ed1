"""What a network must do."""

from ogive.tasks.base import TASKS, Split, Task, get_task

__all__ = ["TASKS", "Split", "Task", "get_task"]

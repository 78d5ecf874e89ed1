"""TransNAS-Bench-101: seven tasks on a space of cells ("micro") and one of macro skeletons ("macro").

The file is a dictionary with `data` by space, architecture and task: `total_epochs`, `model_info` and `metrics`, a list
with one value an epoch for each.

Duan et al., "TransNAS-Bench-101: Improving Transferability and Generalizability of Cross-Task Neural Architecture
Search", CVPR 2021.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ogive._errors import StorageError
from ogive.metrics.importers.sheet import Sheet, number

_HINTS = {
    "*_top1*": {"unit": "%"},
    "*_top5*": {"unit": "%"},
    "*_acc*": {"unit": "%"},
    "*_mIoU*": {"unit": "%"},
    "*_neg_loss*": {"direction": "max"},
    "*_time*": {"unit": "s", "direction": "min"},
    "*_params": {"direction": "min"},
    "*_FLOPs": {"direction": "min"},
}


@dataclass(frozen=True)
class Run:
    """The final numbers of one network on one task, and those of its best epoch, in place of the curves."""

    names: tuple[str, ...]
    values: np.ndarray[Any, np.dtype[np.float64]]


class TransNAS:
    """Collects the two tables."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.found: dict[str, Sheet] = {}
        self._names: dict[tuple[str, ...], tuple[str, ...]] = {}

    # ---------------------------------------------------------------- while a pickle is read

    def shrink(self, piece: dict[Any, Any]) -> Run | None:
        """Reduce the curves of one network on one task to their ends and their best epoch."""
        if not piece.keys() >= {"total_epochs", "model_info", "metrics"}:
            return None
        try:
            curves = {
                name.replace("valid_", "val_", 1): [number(v, self.source) for v in values]
                for name, values in piece["metrics"].items()
            }
            out = {name: curve[-1] for name, curve in curves.items() if curve}
            for name, curve in curves.items():
                if name.startswith("val_") and (best := _best(name, curve)) is not None:
                    out[f"{name}_best"] = curve[best]
                    test = curves.get(name.replace("val_", "test_", 1), [])
                    if best < len(test):
                        out[f"{name.replace('val_', 'test_', 1)}_best"] = test[best]
            out |= {name: number(value, self.source) for name, value in piece["model_info"].items()}
        except (AttributeError, TypeError) as error:
            raise StorageError(
                f"'{self.source}' has a result in another layout ({error}); fetch the official file"
            ) from error
        names = tuple(out)
        return Run(self._names.setdefault(names, names), np.array([*out.values()]))

    # ---------------------------------------------------------------- when a pickle has been read

    def add(self, data: Any) -> bool:
        """Take a document; return whether it belongs to this layout."""
        spaces = data.get("data") if isinstance(data, dict) else None
        if not isinstance(spaces, dict) or not spaces.keys() <= {"micro", "macro"}:
            return False
        for kind, archs in spaces.items():
            sheet = self.found[kind] = Sheet(self.source, f"transnas_{kind}", _HINTS)
            for arch, tasks in _dictionary(archs, self.source).items():
                row = sheet.row(str(arch))
                for task, run in _dictionary(tasks, self.source).items():
                    done = self.shrink(run) if isinstance(run, dict) else run
                    if not isinstance(done, Run):
                        raise StorageError(f"'{self.source}' has no result of '{arch}' on '{task}'")
                    sheet.put(row, {f"{task}_{n}": float(v) for n, v in zip(done.names, done.values, strict=True)})
        return bool(self.found)

    def sheets(self) -> list[Sheet]:
        """Return the tables, the cell space first."""
        return [self.found[kind] for kind in sorted(self.found, reverse=True)]


def _dictionary(value: Any, source: str) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise StorageError(f"'{source}' has a {type(value).__name__} where results belong; fetch the official file")
    return value


def _best(name: str, curve: list[float]) -> int | None:
    """Return the epoch with the best value, the first of equal ones, None where no value is finite."""
    sign = -1.0 if name.endswith("loss") and not name.endswith("neg_loss") else 1.0
    finite = [i for i, v in enumerate(curve) if math.isfinite(v)]
    return max(finite, key=lambda i: sign * curve[i]) if finite else None

"""NATS-Bench, NAS-Bench-201 and NAS-Bench-360's results: one layout, by the same authors' interface.

The archive is a dictionary of `meta_archs` (strings by number), `arch2infos` (records by number and schedule) and
`evaluated_indexes`. In a folder every file holds the records of one architecture, and one holds `meta_archs`. A record
has an `arch_str` and `all_results` by data set and seed, each with curves by epoch.

Dong, Liu, Musial and Gabrys, "NATS-Bench", TPAMI 2021; Dong and Yang, "NAS-Bench-201", ICLR 2020; Tu et al.,
"NAS-Bench-360", NeurIPS 2022 Datasets and Benchmarks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ogive._errors import StorageError
from ogive.metrics.importers.sheet import Sheet, mean, number

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_FULL = {"nasbench201": 200, "nats_sss": 90}
"""Epochs of the full training, whose columns have no suffix."""

_LONGEST = 10_000  # epochs

_RELIABLE = 888  # the seed whose costs count where runs disagree, as in the authors' own correction

_SELECTS_ON_TEST = "no validation split: a search on it selects on test data"

_HINTS = {
    "darcyflow_test_accuracy*": {"unit": "1", "note": f"1 - relative L2; {_SELECTS_ON_TEST}"},
    "darcyflow_*_accuracy*": {"unit": "1", "note": "1 - relative L2"},
    "ninapro_test_accuracy*": {"unit": "%", "note": _SELECTS_ON_TEST},
    "*_accuracy*": {"unit": "%"},
    "*_params*": {"unit": "M"},
    "*_flops*": {"unit": "M", "note": "multiply-accumulates"},
    "*_latency*": {"unit": "s", "note": "one batch of 256 on the authors' GPU"},
    "*_seconds*": {"unit": "s"},
}


@dataclass(frozen=True)
class Record:
    """Stands for a record whose numbers are entered already."""

    arch: str


class NATS:
    """Collects records, in whatever files they come."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.sheet: Sheet | None = None
        self.archs: list[str] = []

    # ---------------------------------------------------------------- while a pickle is read

    def shrink(self, piece: dict[Any, Any]) -> Record | None:
        """Enter the numbers of a record, so that its curves may go."""
        if not piece.keys() >= {"arch_str", "all_results", "dataset_seed"}:
            return None
        arch = piece["arch_str"]
        if not isinstance(arch, str) or not isinstance(piece["all_results"], dict):
            raise StorageError(f"'{self.source}' has a record without architecture or results; fetch the official file")
        if self.sheet is None:
            self.sheet = Sheet(self.source, "nats_sss" if ":" in arch else "nasbench201", _HINTS)
        row = self.sheet.row(arch)
        runs: dict[tuple[str, int], dict[Any, dict[str, float]]] = {}
        for key, result in piece["all_results"].items():
            dataset, seed, epochs, numbers = self._run(key, result, arch)
            runs.setdefault((dataset, epochs), {})[seed] = numbers
        full = _FULL[self.sheet.space]
        for (dataset, epochs), by_seed in runs.items():
            self.sheet.put(row, _columns(dataset, "" if epochs == full else f"_{epochs}ep", by_seed))
        return Record(arch)

    def _run(self, key: Any, result: Any, arch: str) -> tuple[str, int, int, dict[str, float]]:
        """Return data set, seed and epochs of one training run, and its final numbers."""
        try:
            dataset, seed, epochs = str(key[0]), int(key[1]), int(result["epochs"])
            if not 1 <= epochs <= _LONGEST:
                raise ValueError(f"{epochs} epochs")
            last = epochs - 1
            found: dict[str, Any] = {"params": result["params"], "flops": result["flop"]}
            for quantity, curve in (("accuracy", "train_acc1es"), ("loss", "train_losses")):
                found[f"train_{quantity}"] = (result.get(curve) or {}).get(last)
            times = result.get("train_times") or {}
            found["train_seconds"] = self._total(times.get(i) for i in range(epochs))
            times = result.get("eval_times") or {}
            for split in result["eval_names"]:
                for quantity, curve in (("accuracy", "eval_acc1es"), ("loss", "eval_losses")):
                    found[f"{split}_{quantity}"] = result[curve].get(f"{split}@{last}")
                found[f"{split}_seconds"] = self._total(times.get(f"{split}@{i}") for i in range(epochs)) / epochs
            latencies = [number(v, self.source) for v in result.get("latency") or ()]
            found["latency"] = mean([v for v in latencies if v > 0])
            return dataset, seed, epochs, {name: number(value, self.source) for name, value in found.items()}
        except (LookupError, TypeError, AttributeError, ValueError) as error:
            raise StorageError(
                f"'{self.source}' has a result of architecture '{arch}' in another layout "
                f"({type(error).__name__}: {str(error)[:80]}); fetch the official file"
            ) from error

    def _total(self, values: Iterable[Any]) -> float:
        """Return the sum over all epochs, NaN unless all are there."""
        times = list(values)
        return math.fsum(times if set(map(type, times)) == {float} else [number(t, self.source) for t in times])

    # ---------------------------------------------------------------- when a pickle has been read

    def add(self, data: Any) -> bool:
        """Take a document; return whether it belongs to this layout."""
        if not isinstance(data, dict):
            return False
        if "meta_archs" in data:
            archs, infos = data["meta_archs"], data.get("arch2infos", {})
            if not isinstance(archs, (list, tuple)) or not isinstance(infos, dict):
                raise StorageError(f"'{self.source}' has no list of architectures; fetch the official file")
            self.archs = [str(arch) for arch in archs]
            for index, records in infos.items():
                if not self._note(records, index):
                    raise StorageError(f"'{self.source}' has something else than records of architecture {index!r:.40}")
            return True
        return bool(data) and self._note(data, None)

    def _note(self, records: Any, index: Any) -> bool:
        """Finish the records of one architecture, which may be by schedule or a single one."""
        parts = records.values() if isinstance(records, dict) and "all_results" not in records else [records]
        # What was not shown on the way, for old pickles enter items one by one, is shown now.
        finished = [self.shrink(p) if isinstance(p, dict) else p for p in parts]
        archs = {r.arch for r in finished if isinstance(r, Record)}
        if not finished or not all(isinstance(r, Record) for r in finished):
            return False
        if index is not None and archs != set(self.archs[index : index + 1] if isinstance(index, int) else ()):
            raise StorageError(f"'{self.source}': record {index} is not of the architecture 'meta_archs' has there")
        return True

    def sheets(self) -> list[Sheet]:
        """Return the table that came together.

        Raises
        ------
        StorageError
            If no record came, or one is of an architecture that `meta_archs` does not have.
        """
        if self.sheet is None:
            raise StorageError(f"'{self.source}' has no records of architectures")
        if self.archs and (foreign := self.sheet.rows.keys() - set(self.archs)):
            raise StorageError(f"'{self.source}' has a record of '{min(foreign)}', which 'meta_archs' does not list")
        return [self.sheet]


def _columns(dataset: str, suffix: str, runs: Mapping[Any, Mapping[str, float]]) -> dict[str, float]:
    """Return a data set's columns: means over runs, and accuracies on held-out data run by run."""
    splits = {name.rpartition("_")[0] for numbers in runs.values() for name in numbers}
    out: dict[str, float] = {}
    for name in dict.fromkeys(name for numbers in runs.values() for name in numbers):
        values = {seed: numbers[name] for seed, numbers in runs.items() if name in numbers}
        title = _title(dataset, name, splits)
        if name in ("params", "flops"):
            out[f"{title}{suffix}"] = _cost(values)
            continue
        out[f"{title}{suffix}"] = mean([*values.values()])
        if name.endswith("_accuracy") and not name.startswith("train"):
            out |= {f"{title}{suffix}_seed{seed}": value for seed, value in values.items()}
    return out


def _cost(values: Mapping[Any, float]) -> float:
    different = len({f"{v:.5f}" for v in values.values()}) > 1
    return values[_RELIABLE] if different and _RELIABLE in values else mean([*values.values()])


def _title(dataset: str, name: str, splits: set[str]) -> str:
    """Write `dataset_split_quantity` with the splits called train, val, test, and valtest for both together.

    CIFAR-10 was trained twice: "cifar10" on training and validation examples for the test accuracy, "cifar10-valid"
    on training examples only for the validation accuracy.
    """
    split, _, quantity = name.rpartition("_")
    if split == "ori-test":
        split = "valtest" if "x-test" in splits else "test"
    split = {"x-valid": "val", "x-test": "test"}.get(split, split)
    title = dataset.lower().replace("-", "_")
    if title == "cifar10_valid" and split == "val":
        title = "cifar10"
    return "_".join(filter(None, (title, split, quantity)))

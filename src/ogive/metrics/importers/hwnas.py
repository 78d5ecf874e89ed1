"""HW-NAS-Bench: latency and energy of NAS-Bench-201 networks on six devices.

The pickle is a dictionary by space. For "nasbench201" it holds, by data set and "device_quantity", one number for each
architecture in the benchmark's order. For "fbnet" it holds costs of single operators, which are no table of
architectures and are left out.

Li et al., "HW-NAS-Bench: Hardware-Aware Neural Architecture Search Benchmark", ICLR 2021.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ogive._errors import StorageError
from ogive.metrics.importers.sheet import Sheet, number
from ogive.spaces.nasbench201 import NASBench201

_HINTS = {
    "*_latency": {"unit": "ms"},
    "*_energy": {"unit": "mJ"},
    "*_arithmetic_intensity": {"unit": "1", "note": "operations per byte"},
}

_QUANTITIES = ("_latency", "_energy", "_arithmetic_intensity")


class HWNAS:
    """Collects the columns of the one file there is."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.sheet: Sheet | None = None

    def shrink(self, piece: dict[Any, Any]) -> None:
        """Keep everything: the file is small."""

    def add(self, data: Any) -> bool:
        """Take a document; return whether it belongs to this layout."""
        part = data.get("nasbench201") if isinstance(data, dict) else None
        if not isinstance(part, dict) or not all(isinstance(columns, dict) for columns in part.values()):
            return False
        space = NASBench201()
        archs = space.format_many(space.from_index(space.official()))
        self.sheet = Sheet(self.source, space.name, _HINTS)
        for arch in archs:
            self.sheet.row(arch)
        for dataset, columns in part.items():
            for name, values in columns.items():
                if str(name).endswith(_QUANTITIES):
                    self._column(f"{str(dataset).lower().replace('-', '_')}_{name}", values, len(archs))
            self._check(columns.get("config", ()), archs)
        return True

    def _column(self, name: str, values: Any, n: int) -> None:
        assert self.sheet is not None
        if not isinstance(values, (list, tuple, np.ndarray)) or len(values) != n or np.ndim(values[0]) > 0:
            raise StorageError(f"'{self.source}', column '{name}': {n:,} numbers expected; fetch the official file")
        numbers = [number(v, self.source) for v in values]
        # A failed measurement is stored as -1.
        for row, value in enumerate(numbers):
            self.sheet.put(row, {name: value if value > 0 else float("nan")})

    def _check(self, configs: Any, archs: list[str]) -> None:
        """Compare the order with the strings that the file gives beside the numbers."""
        for config, expected in zip(configs if isinstance(configs, list) else (), archs, strict=False):
            arch = config.get("arch_str", expected) if isinstance(config, dict) else expected
            if arch != expected:
                raise StorageError(
                    f"'{self.source}' has '{str(arch)[:100]}' where '{expected}' comes in the published order"
                )

    def sheets(self) -> list[Sheet]:
        """Return the table."""
        return [self.sheet] if self.sheet is not None else []

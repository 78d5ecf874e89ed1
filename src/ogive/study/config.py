"""What a study is asked to do: everything needed to run it again, as a record that goes to and from YAML."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal, get_args

from ogive._errors import InputError, UnknownNameError

Repeats = Literal["free", "count"]
_PACKAGES = ("ogive", "numpy", "torch", "scikit-learn")


@dataclass(frozen=True)
class StudyConfig:
    """The question a study answers and how it goes about it; `ogive.Study` documents the fields.

    The candidates of a study are a function of this record alone, whatever the machine and the number of workers;
    `workers`, `timeout`, `command`, `plugins` and `versions` do not take part in it.
    """

    space: str
    task: str | None = None
    maximize: tuple[str, ...] = ()
    minimize: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    strategy: str = "nsga2"
    trials: int = 100
    seed: int = 0
    batch: int = 1
    window: int = 4
    repeats: Repeats = "free"
    max_draws: int = 10_000
    screen: bool = True
    train: Mapping[str, Any] | None = None
    supernet: Mapping[str, Any] | None = None
    weights: tuple[tuple[float, ...], ...] | None = None
    workers: int = 0
    timeout: float | None = None
    confirm: int = 0
    device: str = "cpu"
    plugins: tuple[str, ...] = ()
    command: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        both = set(self.maximize) & set(self.minimize)
        if both:
            raise InputError(f"metric '{sorted(both)[0]}' is both maximised and minimised; keep one of the two")
        if not (self.maximize or self.minimize):
            raise InputError("nothing to search for; name a metric to maximise or to minimise")
        for name, least in (
            ("trials", 1),
            ("batch", 1),
            ("window", 1),
            ("max_draws", 1),
            ("workers", 0),
            ("confirm", 0),
            ("seed", 0),
        ):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise InputError(f"{name} is a whole number of at least {least}, not {value}")
        if self.repeats not in get_args(Repeats):
            raise UnknownNameError.of("way to treat repeats", str(self.repeats), get_args(Repeats))
        if self.timeout is not None and not self.timeout > 0:
            raise InputError(f"timeout is a positive number of seconds, not {self.timeout}")

    @property
    def objectives(self) -> tuple[str, ...]:
        """The metrics to optimise: those maximised, then those minimised."""
        return (*self.maximize, *self.minimize)

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain values, as `config.yaml` holds them."""
        return {k: _plain(v) for k, v in asdict(self).items() if v is not None}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> StudyConfig:
        """Read what `to_dict` wrote.

        Raises
        ------
        UnknownNameError
            If there is a key that is none of the fields.
        InputError
            If a value is out of range.
        """
        known = [f.name for f in fields(cls)]
        for key in data:
            if key not in known:
                raise UnknownNameError.of("key of config.yaml", str(key), known)
        if "space" not in data:
            raise InputError("config.yaml names no space")
        return cls(**{k: _tuples(v) for k, v in data.items()})


def versions() -> dict[str, str]:
    """Return the versions a run depends on, without importing anything heavy."""
    found = {"python": platform.python_version(), "platform": f"{sys.platform} {platform.machine()}"}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(v) for v in value]
    return value


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value

"""The trainings of a certification: done by workers, a line of the log each, gone on with after an interruption."""

from __future__ import annotations

import json
from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ogive._errors import InputError, OgiveError, StorageError
from ogive.methods._certification_jobs import Here
from ogive.methods._certification_plan import SCRATCH, SHIP, Plan, Training
from ogive.study.directory import RunDirectory
from ogive.study.progress import counting_bar
from ogive.study.workers import Pool

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

Results = dict[Training, dict[str, Any]]

_SETTINGS, _LOG = "settings.json", "trainings.jsonl"


def run(plan: Plan, store: Store, workers: int, plugins: Sequence[str], show: bool | None) -> Results:
    """Do what is not in the log yet; the attacks on a network join the line once it is shipped."""
    planned = plan.trainings()
    log = store.read()
    done = {t: log[t] for t in planned if t in log}
    ready: list[Training] = []
    waiting: dict[Training, list[Training]] = defaultdict(list)
    for training in planned:
        if training not in done:
            ship = plan.ship(training.network, training.seed)
            free = training.kind in (SHIP, SCRATCH) or ship in done
            (ready if free else waiting[ship]).append(training)
    with counting_bar("trainings", len(planned) - len(done), show) as move:
        for training, found in _finished(plan, store.path, ready, waiting, workers, plugins):
            store.append(training, found)
            done[training] = found
            move(1)
    return done


def _finished(
    plan: Plan,
    folder: Path,
    ready: list[Training],
    waiting: dict[Training, list[Training]],
    workers: int,
    plugins: Sequence[str],
) -> Iterator[tuple[Training, dict[str, Any]]]:
    """Yield trainings as they finish; a network that diverged on the source is not attacked."""
    setup = {
        "space": plan.space,
        "source": plan.source,
        "protocol": plan.protocol.to_dict(),
        "folder": str(folder.resolve()),
        "device": plan.device,
        "plugins": list(plugins),
    }
    pool = Pool(workers, setup, jobs="ogive.methods._certification_jobs") if workers else Here(setup)
    line = list(ready)
    try:
        for key, training in enumerate(line):
            pool.submit(key, "run", *training)
        left = len(line)
        while left:
            for answer in pool.wait():
                training = line[answer.key]
                if answer.reason is not None:
                    raise OgiveError(f"{training.kind} of '{training.network}' on '{training.task}': {answer.reason}")
                left -= 1
                for attack in waiting[training] if "reason" not in answer.result else ():
                    pool.submit(len(line), "run", *attack)
                    line.append(attack)
                    left += 1
                yield training, answer.result
    finally:
        pool.close()


# -------------------------------------------------------------------- what is kept


class Store:
    """The folder of a run: settings, and a line for each finished training."""

    def __init__(self, path: Path) -> None:
        self.path, self.directory = path, RunDirectory(path)
        self._log = path / _LOG

    @contextmanager
    def open(self, settings: dict[str, Any]) -> Iterator[None]:
        """Be the one writer of the folder while the block runs; refuse a folder of other settings."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            others = sorted(p.name for p in self.path.iterdir() if not p.name.startswith("."))
        except OSError as error:
            raise StorageError(f"'{self.path}' cannot be used: {error.strerror}; choose another folder") from error
        if others and _SETTINGS not in others:
            raise InputError(f"'{self.path}' is not empty (it holds '{others[0]}'); choose a new folder for --out")
        with self.directory.lock():
            if others:
                self._agree(settings)
            else:
                self.directory.write(_SETTINGS, json.dumps(settings, indent=2) + "\n")
            yield

    def _agree(self, settings: dict[str, Any]) -> None:
        file = self.path / _SETTINGS
        try:
            there = dict(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise StorageError(f"'{file}' is damaged; choose another folder for --out") from error
        for name, asked in settings.items():
            if there.get(name) != asked:
                raise InputError(
                    f"'{self.path}' was begun with {name} {_text(there.get(name))}, not {_text(asked)}; repeat the "
                    "command it was begun with, or choose another folder for --out"
                )

    def read(self) -> Results:
        """Return the finished trainings; half a line at the end, left by a kill, is cut off."""
        if not self._log.exists():
            return {}
        content = self._log.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            with self._log.open("rb+") as file:
                file.truncate(len(whole))
        try:
            rows = [json.loads(line) for line in whole.splitlines()]
            return {Training(*(row.pop(name) for name in Training._fields)): row for row in rows}
        except (ValueError, KeyError, AttributeError) as error:
            raise StorageError(f"'{self._log}' is damaged ({error}); choose another folder for --out") from error

    def append(self, training: Training, found: Mapping[str, Any]) -> None:
        """Add a finished training."""
        try:
            with self._log.open("a", encoding="utf-8") as file:
                file.write(json.dumps({**training._asdict(), **found}) + "\n")
        except OSError as error:
            raise StorageError(f"'{self._log}' cannot be written: {error.strerror}; make room and repeat") from error


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)

"""The contract of an event log: subclass `EventLogSuite`, say how to open yours, and run pytest on it."""

from __future__ import annotations

import json
import time
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from ogive._errors import InputError
from ogive.study import Study

if TYPE_CHECKING:
    from pathlib import Path

    from ogive.study.events import EventLog

_DATA: list[dict[str, Any]] = [
    {},
    {"n": 1, "x": -0.1, "big": 2**53, "small": 5e-324, "none": None, "yes": True},
    {"text": "ünï – \u2028 \n \"quoted\" 'too' <b>&amp;</b>", "empty": ""},
    {"column": [0.1, None, 3.0], "rows": [[1, 2], [3, 4]], "nested": {"a": {"b": [{"c": 1}]}}},
]


class EventLogSuite:
    """Tests that every event log passes.

    Attributes
    ----------
    durable : bool
        Whether a log that is opened again at the same place holds what was appended before.

    Examples
    --------
    >>> class TestMine(EventLogSuite):
    ...     def make(self, folder):
    ...         return MyLog(folder / "events")
    """

    durable = True

    @abstractmethod
    def make(self, folder: Path) -> EventLog:
        """Open the log that lives in `folder`, a new one if there is none."""

    def test_a_new_log_is_empty(self, tmp_path: Path) -> None:
        with self.make(tmp_path) as log:
            assert log.last() == 0
            assert list(log.read()) == []

    def test_sequence_numbers_are_dense_from_one(self, tmp_path: Path) -> None:
        with self.make(tmp_path) as log:
            assert log.append("a", {}) == 1
            assert log.extend([("b", {}), ("c", {}), ("d", {})]) == 4
            assert log.extend([]) == 4
            assert log.append("e", {}) == 5
            assert [(e.seq, e.kind) for e in log.read()] == list(enumerate("abcde", start=1))
            assert log.last() == 5

    def test_data_come_back_as_they_went_in(self, tmp_path: Path) -> None:
        with self.make(tmp_path) as log:
            log.extend([("x", data) for data in _DATA])
            assert [e.data for e in log.read()] == _DATA
            # Also the types: 1 is not 1.0 and not True.
            assert [json.dumps(e.data) for e in log.read()] == [json.dumps(d) for d in _DATA]

    def test_numbers_keep_every_bit(self, tmp_path: Path) -> None:
        values = [0.1 + 0.2, 1 / 3, 1e300, -1e-300, 123456789.123456789]
        with self.make(tmp_path) as log:
            log.append("x", {"v": values})
            assert next(log.read()).data["v"] == values

    def test_time_and_revision_are_kept(self, tmp_path: Path) -> None:
        before = time.time()
        with self.make(tmp_path) as log:
            log.append("x", {}, rev=3)
            log.append("x", {})
            first, second = log.read()
        assert (first.rev, second.rev) == (3, 0)
        assert before - 1 <= first.ts <= second.ts <= time.time() + 1

    def test_reading_after_a_number_by_kind_and_with_a_limit(self, tmp_path: Path) -> None:
        with self.make(tmp_path) as log:
            log.extend([("odd" if i % 2 else "even", {"i": i}) for i in range(1, 11)])
            assert [e.seq for e in log.read(after=7)] == [8, 9, 10]
            assert [e.seq for e in log.read(kinds=("odd",))] == [1, 3, 5, 7, 9]
            assert [e.seq for e in log.read(after=3, kinds=["even"], limit=2)] == [4, 6]
            assert [e.seq for e in log.read(kinds=("odd", "even"), limit=3)] == [1, 2, 3]
            assert list(log.read(after=10)) == list(log.read(kinds=("none",))) == list(log.read(limit=0)) == []

    def test_what_is_not_json_is_refused_and_leaves_nothing(self, tmp_path: Path) -> None:
        bad: list[Any] = [{"x": float("nan")}, {"x": float("inf")}, {"x": object()}, {"x": b"bytes"}]
        with self.make(tmp_path) as log:
            log.append("x", {"i": 1})
            for data in bad:
                try:
                    log.extend([("good", {}), ("bad", data)])
                except InputError:
                    pass
                else:
                    raise AssertionError(f"{data} was accepted")
                assert log.last() == 1
            assert log.append("x", {"i": 2}) == 2
            assert [e.data["i"] for e in log.read()] == [1, 2]

    def test_the_log_does_not_share_what_it_was_given(self, tmp_path: Path) -> None:
        data: dict[str, Any] = {"list": [1]}
        with self.make(tmp_path) as log:
            log.append("x", data)
            data["list"].append(2)
            event = next(log.read())
            event.data["list"].append(3)
            assert next(log.read()).data == {"list": [1]}

    def test_reading_sees_what_is_appended_meanwhile_only_after_it(self, tmp_path: Path) -> None:
        with self.make(tmp_path) as log:
            log.extend([("x", {}), ("x", {})])
            seen = []
            for event in log.read(limit=4):
                seen.append(event.seq)
                if event.seq == 1:
                    log.append("x", {})
            assert seen[:2] == [1, 2]
            assert seen == sorted(set(seen))

    def test_opened_again_it_goes_on(self, tmp_path: Path) -> None:
        if not self.durable:
            return
        with self.make(tmp_path) as log:
            log.extend([("a", {"i": 1}), ("b", {"i": 2})])
        with self.make(tmp_path) as log:
            assert [e.data["i"] for e in log.read()] == [1, 2]
            assert log.append("c", {"i": 3}) == 3
        with self.make(tmp_path) as log:
            assert [e.kind for e in log.read()] == ["a", "b", "c"]
            log.close()
            log.close()

    def test_a_study_lives_in_it(self, tmp_path: Path) -> None:
        def ask(log: EventLog | None) -> Study:
            return Study("nasbench201", "digits", maximize=["params"], minimize=["macs"], seed=5, log=log)

        with self.make(tmp_path) as log:
            half = ask(log).run(trials=60)
            # Another study object on the same log knows nothing but what the log says.
            whole = ask(log).run(trials=60)
            assert [e.seq for e in log.read()] == list(range(1, log.last() + 1))
        alone = ask(None).run(trials=120)
        assert half.results().n_trials >= 60
        assert whole.trials.equals(alone.trials)

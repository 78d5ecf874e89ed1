"""An event log of your own: one JSON document a line, readable with any tool.

Use it: ogive.Study("nasbench201", "digits", maximize=["params"], log=JsonLines("events.jsonl")).run(trials=100)
"""

import json
import time
from pathlib import Path

from ogive.study import Event, EventLog
from ogive.study.events import dump


class JsonLines(EventLog):
    """A line an event; an append is one write, and a last line that a crash cut short is dropped."""

    def __init__(self, path):
        self.path = Path(path)
        self.path.touch()
        whole = self.path.read_bytes()
        with self.path.open("r+b") as file:
            file.truncate(whole.rfind(b"\n") + 1)
        self.count = whole.count(b"\n")

    def extend(self, entries, rev=0):
        lines = [f"[{time.time()!r},{rev},{json.dumps(kind)},{dump(data)}]\n" for kind, data in entries]
        with self.path.open("a", encoding="utf-8") as file:
            file.write("".join(lines))
        self.count += len(lines)
        return self.count

    def read(self, after=0, kinds=None, limit=None):
        lines = self.path.read_text(encoding="utf-8").split("\n")[after:-1]
        events = (Event(after + i, *json.loads(line)) for i, line in enumerate(lines, start=1))
        wanted = (e for e in events if kinds is None or e.kind in kinds)
        yield from (e for _, e in zip(range(len(lines) if limit is None else limit), wanted, strict=False))

    def last(self):
        return self.count

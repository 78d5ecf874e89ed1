"""How long a command takes from the request to its effect, over HTTP against the demo's own search.

    python benchmarks/studio_latency.py OUT [--commands 60] [--seed 7]

Prints JSON: seconds until the address was printed, the first state was answered and the first architecture was
measured; milliseconds (median, 95th percentile) until the reply, until the events that say accepted and applied, and
from the writing of an event to its arrival; the machine's load.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
import uuid
from contextlib import suppress

import httpx


def milliseconds(values):
    ordered = sorted(values)
    return {
        "median": round(1000 * statistics.median(ordered), 1),
        "p95": round(1000 * ordered[int(0.95 * len(ordered))], 1),
        "n": len(ordered),
    }


class Listener:
    """Follows the stream and notes when what arrived."""

    def __init__(self, client):
        self.client, self.arrived, self.lags, self.first = client, {}, [], None
        threading.Thread(target=self.follow, daemon=True).start()

    def follow(self):
        # The end of the measurement closes the connection.
        with suppress(httpx.HTTPError), self.client.stream("GET", "/api/stream", timeout=None) as answer:
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    self.take(json.loads(line.removeprefix("data: ")), time.time())

    def take(self, event, now):
        self.lags.append(now - event["ts"])
        if event["kind"] == "eval.done" and self.first is None:
            self.first = now
        if event["kind"].startswith("command."):
            self.arrived[event["data"]["id"], event["kind"]] = now

    def wait(self, what):
        while what not in self.arrived:
            time.sleep(0.002)
        return self.arrived[what]


def measure(client, commands):
    csrf = client.get("/api/state").json()["csrf"]
    listener = Listener(client)
    while listener.first is None:
        time.sleep(0.05)
    listener.lags.clear()
    times = {"reply": [], "accepted": [], "applied": []}
    for i in range(commands):
        name, began = str(uuid.uuid4()), time.time()
        body = {"id": name, "op": "nudge", "args": {"node": ["s1_conv3"], "h": (i % 9) / 10 - 0.35}}
        client.post("/api/commands", json=body, headers={"X-CSRF-Token": csrf}).raise_for_status()
        times["reply"].append(time.time() - began)
        for word in ("accepted", "applied"):
            times[word].append(listener.wait((name, f"command.{word}")) - began)
        time.sleep(0.05)
    return listener, times


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out")
    parser.add_argument("--commands", type=int, default=60)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    began = time.time()
    words = ["studio", given.out, "--demo", "--seed", str(given.seed), "--no-open", "--json"]
    process = subprocess.Popen([sys.executable, "-m", "ogive", *words], stdout=subprocess.PIPE, text=True)
    try:
        printed = json.loads(process.stdout.readline())
        found = {"printed_s": round(time.time() - began, 2)}
        base = f"http://127.0.0.1:{printed['port']}"
        with httpx.Client(base_url=base, follow_redirects=True, timeout=60) as client:
            client.get(printed["url"]).raise_for_status()
            client.get("/api/state").raise_for_status()
            found["state_s"] = round(time.time() - began, 2)
            listener, times = measure(client, given.commands)
        found["first_architecture_s"] = round(listener.first - began, 2)
        found |= {f"{name}_ms": milliseconds(values) for name, values in times.items()}
        found["event_ms"] = milliseconds(listener.lags)
        found["load"] = [round(x, 1) for x in os.getloadavg()]
        ending = time.time()
        process.send_signal(signal.SIGINT)
        process.wait(30)
        print(json.dumps(found | {"end_s": round(time.time() - ending, 2)}, indent=2))
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    main()

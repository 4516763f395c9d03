"""What a worker of its own costs each model: its start, its memory, and what crosses to it and back.

    python -m benchmarks.workers [--repeats 40]

Starts are from the warm process, grown, to the answer that a model is loaded, confined as on a server. Memory of one
more worker, its model loaded, is what it adds to the proportional set sizes of all processes together, in which a page
that several share counts once. The round trip is one array over a socket between two processes, there and back, by the
frames that workers speak.
"""

from __future__ import annotations

import argparse
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.measure import commit, machine
from explainers.runtime import wire
from explainers.runtime.nursery import Nursery
from explainers.runtime.process import Process
from explainers.runtime.types import Source
from model_zoo import catalogue

SMALL = "adult_mlp"
BIG = 12_500_000  # float64: 100 MB
MORE = 3  # workers beside a first


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=40)
    asked = parser.parse_args()
    print(f"{machine()}; commit {commit()}\n")
    print("| what | held | measured |\n|---|---|---|")
    for what, held, measured in [*_starts(asked.repeats), *_trips(asked.repeats)]:
        print(f"| {what} | {held} | {measured} |", flush=True)


def _starts(repeats: int) -> Iterator[tuple[str, str, str]]:
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder)
        (workspace / "logs").mkdir()
        nursery = Nursery(workspace, "cpu", "model_zoo.catalogue")
        began = time.perf_counter()
        first, took = _start(nursery, SMALL)
        yield "first worker, from nothing", "", f"{took:.2f} s"
        while not nursery.stale(first):
            time.sleep(0.05)
        yield "the warm process has all heavy parts", "", f"{time.perf_counter() - began:.1f} s"
        first.close()
        for card in catalogue.cards():
            times = []
            for _ in range(repeats if card.id == SMALL else max(3, repeats // 8)):
                process, took = _start(nursery, card.id)
                times.append(took)
                process.close()
            held = "p95 ≤ 150 ms" if card.id == SMALL else ""
            yield f"a worker with {card.title} loaded", held, _milliseconds(times)
            yield f"memory of one more worker with {card.title}", "", f"{_more(nursery, card.id) / 2**20:.0f} MiB"
        nursery.close()


def _start(nursery: Nursery, model: str) -> tuple[Process, float]:
    """A worker that has loaded its model, and the seconds that took."""
    began = time.perf_counter()
    process = nursery.start("run", 2, Source(model))
    process.greet()
    process.send("card", 1, ())
    while (answer := process.receive())[0] != "result":
        assert answer[0] == "loaded", answer
    return process, time.perf_counter() - began


def _more(nursery: Nursery, model: str) -> float:
    """Bytes that one more worker of a model adds, beside one that is there."""
    warm = nursery._zygote.pid
    workers = [_start(nursery, model)[0]]
    before = sum(map(_memory, [warm, workers[0].pid]))
    workers += [_start(nursery, model)[0] for _ in range(MORE)]
    after = sum(map(_memory, [warm, *(one.pid for one in workers)]))
    for one in workers:
        one.close()
    return (after - before) / MORE


def _memory(pid: int) -> int:
    """Bytes: the proportional set size."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return next(int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith("Pss:"))


def _trips(repeats: int) -> Iterator[tuple[str, str, str]]:
    for count, held in ((BIG // 100, ""), (BIG // 6, ""), (BIG, "p95 ≤ 100 ms")):
        array = np.random.default_rng(0).random(count)
        ours, theirs = socket.socketpair()
        echo = os.fork()
        if echo == 0:
            ours.close()
            try:
                while True:
                    wire.send(theirs, wire.receive(theirs))
            except wire.Broken:
                os._exit(0)
        theirs.close()
        times = []
        for _ in range(repeats):
            began = time.perf_counter()
            wire.send(ours, array)
            found = wire.receive(ours)
            times.append(time.perf_counter() - began)
        assert np.array_equal(found, array)
        ours.close()
        os.waitpid(echo, 0)
        yield f"round trip of {array.nbytes / 1e6:.0f} MB", held, _milliseconds(times)


def _milliseconds(times: list[float]) -> str:
    ordered = sorted(times)
    return f"p50 {ordered[len(ordered) // 2] * 1e3:.0f} ms, p95 {ordered[int(len(ordered) * 0.95)] * 1e3:.0f} ms"


if __name__ == "__main__":
    main()

"""Timing shared by the benchmarks: medians, alternated pairs, the floor, and the machine's name."""

from __future__ import annotations

import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import torch


def seconds(work: Callable[[], object], repeats: int = 3, warm: int = 1) -> float:
    """Median wall time of `work`."""
    for _ in range(warm):
        work()
    return statistics.median(_once(work) for _ in range(repeats))


def pair(ours: Callable[[], object], theirs: Callable[[], object], repeats: int = 3) -> tuple[float, float]:
    """Median wall times of two works, alternated so that a slow minute slows both."""
    ours(), theirs()
    times = [(_once(ours), _once(theirs)) for _ in range(repeats)]
    return statistics.median(a for a, _ in times), statistics.median(b for _, b in times)


def floor(work: Callable[[int], object], sizes: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)) -> float:
    """The model's best time a sample over batch sizes; work(size) evaluates one batch."""
    return min(seconds(lambda size=size: work(size), repeats=3) / size for size in sizes)


def machine(device: str = "cpu") -> str:
    """What this ran on, for the line above a table."""
    if device.startswith("cuda"):
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    info = Path("/proc/cpuinfo")
    names = (
        [line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        if info.exists()
        else []
    )
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name}, {torch.get_num_threads()} threads, torch {torch.__version__}, Python {platform.python_version()}"


def commit() -> str:
    """The commit that was measured."""
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


def _once(work: Callable[[], object]) -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began

"""Resource limits: memory, size of a file, open files, no core dumps; and first in line when memory runs out.

RLIMIT_DATA counts what a process may write to, so it ends in a MemoryError that a library can tell of; RLIMIT_AS would
count the address space that torch and CUDA reserve and never use. Shared mappings count in neither: the parent
watches those. Seconds are the parent's too: it knows which of them a person asked for.
"""

from __future__ import annotations

import contextlib


def written() -> int:
    """Bytes of private memory that this process may write to, as RLIMIT_DATA counts them."""
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmData:"))
    return int(line.split()[1]) << 10


def limit(memory: int, file_size: int, open_files: int, gpu: bool = False) -> None:
    """Set them for good; OSError or ValueError where the system does not take them.

    memory: bytes beyond what the process has now. gpu: no limit of memory, which CUDA's reservations would break.
    """
    import resource  # not on Windows

    for kind, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, file_size),
        (resource.RLIMIT_NOFILE, open_files),
    ):
        _lower(kind, most)
    if not gpu:
        _lower(resource.RLIMIT_MEMLOCK, 0)
        _lower(resource.RLIMIT_DATA, written() + memory)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write("1000")


def _lower(kind: int, most: int) -> None:
    import resource

    hard = resource.getrlimit(kind)[1]
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(kind, (most, most))

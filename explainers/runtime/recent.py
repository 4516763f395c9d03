"""What was used last, kept in memory up to a number of things and of bytes."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from explainers import codec

BYTES = 256 << 20
K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Recent(Generic[K, T]):
    """Values by their keys, of which the one that was used longest ago goes first; safe to use from several threads."""

    def __init__(self, most: int, room: int = BYTES) -> None:
        """room: bytes; what alone has more is not kept."""
        self._most = most
        self._room = room
        self._lock = threading.Lock()
        self._kept: OrderedDict[K, tuple[T, int]] = OrderedDict()

    def get(self, key: K) -> T | None:
        """A value, which is now the newest; None if it is not here."""
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key][0]

    def put(self, key: K, value: T) -> None:
        """Keep a value as the newest."""
        size = weight(value)
        with self._lock:
            self._kept[key] = value, size
            self._kept.move_to_end(key)
            total = sum(one for _, one in self._kept.values())
            while len(self._kept) > self._most or total > self._room:
                total -= self._kept.popitem(last=False)[1][1]

    def drop(self, which: Callable[[K], bool]) -> None:
        """Keep these no longer."""
        with self._lock:
            for key in list(filter(which, self._kept)):
                del self._kept[key]


def weight(value: object) -> int:
    """About how many bytes a value takes that travels between processes: its arrays, and the rest as text."""
    header, arrays = codec.encode(value)
    return sum(one.nbytes for one in arrays) + len(json.dumps(header))

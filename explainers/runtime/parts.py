"""Values beside a row: JSON by the codec, with their long texts as blobs that the table `texts` names."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from explainers import codec
from explainers.runtime.blobs import Blobs
from explainers.runtime.database import Database, told

TABLES = """
    CREATE TABLE texts(
        row TEXT NOT NULL, part TEXT NOT NULL, place INTEGER NOT NULL, blob TEXT NOT NULL, size INTEGER NOT NULL,
        PRIMARY KEY(row, part, place));
    CREATE INDEX texts_blob ON texts(blob);
"""


class Parts:
    """The parts of rows: a part is a value under a name, None where there is none."""

    def __init__(self, base: Database, blobs: Blobs) -> None:
        self._base = base
        self._blobs = blobs
        self._long = functools.lru_cache(maxsize=8)(self._decoded)  # the same object each time: cheap to compare

    def value(self, row: str, part: str, header: str) -> Any:
        """The value of a part whose JSON is given."""
        if not header:
            return None
        blobs = self._base.all("SELECT blob FROM texts WHERE row=? AND part=? ORDER BY place", row, part)
        return (self._long if blobs else self._decoded)(header, *(blob for (blob,) in blobs))

    def keep(self, row: str, values: Mapping[str, Any], note: Callable[[dict[str, str]], None]) -> None:
        """Write the long texts of some parts, and the rest of them by note({part: JSON}), in one transaction."""
        headers: dict[str, str] = {}
        texts: list[tuple[str, int, bytes]] = []
        for part, value in values.items():
            header, arrays = codec.encode(value)
            headers[part] = "" if value is None else json.dumps(header)
            texts += [(part, place, array.tobytes()) for place, array in enumerate(arrays)]
        stale: set[str] = set()

        def write(blobs: tuple[str, ...]) -> None:
            for part in values:
                stale.update(self._forget(row, part))
            for (part, place, data), blob in zip(texts, blobs, strict=True):
                self._base.run("INSERT INTO texts VALUES(?,?,?,?,?)", row, part, place, blob, len(data))
            note(headers)

        self._blobs.keep_all([data for _, _, data in texts], write)
        self._blobs.drop(stale)

    def forget(self, row: str) -> set[str]:
        """Inside write(): remove all long texts of a row; the blobs that they were."""
        return self._forget(row, "%")

    def clear(self) -> None:
        """Keep no value in memory."""
        self._long.cache_clear()

    def _forget(self, row: str, part: str) -> set[str]:
        chosen = "FROM texts WHERE row=? AND part LIKE ?"
        found = {blob for (blob,) in self._base.all(f"SELECT blob {chosen}", row, part)}
        self._base.run(f"DELETE {chosen}", row, part)
        return found

    def _decoded(self, header: str, *blobs: str) -> Any:
        with told(self._blobs.folder):
            arrays = [np.frombuffer(self._blobs.path(blob).read_bytes(), np.uint8) for blob in blobs]
        return codec.decode(json.loads(header), arrays)

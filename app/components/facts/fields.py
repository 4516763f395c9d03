"""Values of a form's fields: they live in the session under the upload, and as a draft outlive it (app/backend.py)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import streamlit as st


@dataclass(frozen=True)
class Fields:
    """The fields of the form of one upload."""

    upload: str

    def key(self, name: str) -> str:
        """The key of a widget."""
        return f"facts/{self.upload}/{name}"

    def get(self, name: str, default: Any = None) -> Any:
        """What a field holds."""
        return st.session_state.get(self.key(name), default)

    def put(self, name: str, value: Any) -> None:
        """Fill a field; only before its widget is drawn, or in a callback."""
        st.session_state[self.key(name)] = value

    def all(self) -> dict[str, Any]:
        """Every field by name."""
        start = self.key("")
        return {
            str(key).removeprefix(start): value for key, value in st.session_state.items() if str(key).startswith(start)
        }

    def suggest(self, values: dict[str, Any]) -> None:
        """Fill the fields that nobody has touched: those that are empty, or hold what was suggested before."""
        before = self.get("suggested", {})
        for name, value in values.items():
            if self.key(name) not in st.session_state or self.get(name) == before.get(name):
                self.put(name, value)
        self.put("suggested", {**before, **values})


def box(names: int) -> int:
    """The height in pixels of a box for names, one a line: three to seven of them are seen at once."""
    return 41 + 25 * min(max(names, 3), 7)

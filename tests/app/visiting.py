"""A visit to one screen under AppTest."""

from __future__ import annotations

from typing import Any

from streamlit.testing.v1 import AppTest

ME = "a" * 32  # who the cookie says that this browser is


def open_screen(screen: str = "explain", state: dict[str, Any] | None = None, **query: str) -> AppTest:
    """The screen as it is drawn first, with what the session and the address hold."""

    def script(screen: str) -> None:
        import importlib

        from app.components import asking
        from app.components.guard import guarded, say

        asking.keep()
        say()
        guarded(importlib.import_module(f"app.screens.{screen}").render)()

    at = AppTest.from_function(script, kwargs={"screen": screen}, default_timeout=30)
    for key, value in {"owner": ME, **(state or {})}.items():
        at.session_state[key] = value
    for key, value in query.items():
        at.query_params[key] = value
    at.run()
    assert not at.exception
    return at


def html(at: AppTest) -> str:
    """All that is drawn as HTML."""
    return " ".join(str(one.proto.body) for one in at.get("html"))


def pick(at: AppTest, model: str, *methods: str) -> None:
    """Exactly these methods are picked."""
    at.session_state[f"methods/{model}"] = list(methods)
    at.run()
    assert not at.exception


def picked(at: AppTest) -> list[str]:
    """The methods in the row, by the keys of their crosses."""
    return [one.key.removeprefix("drop/") for one in at.button if str(one.key).startswith("drop/")]

"""The router: it finds the screens and shows the one that was asked for."""

from __future__ import annotations

import streamlit as st

from app import config, state
from app.components import asking, frame
from app.components.guard import guarded, say
from app.screens import screens


@guarded
def main() -> None:
    """One run of the script; what fails outside of the screens is a sentence as well."""
    frame.draw()
    state.keep_owner()
    asking.keep()
    pages = [
        st.Page(
            guarded(one.render), title=one.page.title, icon=one.page.icon, url_path=one.page.url_path, default=not place
        )
        for place, one in enumerate(screens())
    ]
    state.know_pages({one.page.url_path: page for one, page in zip(screens(), pages, strict=True)})
    chosen = st.navigation(pages, position="top")
    say()
    chosen.run()


st.set_page_config(config.NAME, page_icon=frame.ICON, layout="wide", initial_sidebar_state="expanded")
main()

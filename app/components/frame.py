"""What stands around every screen: the style and the name."""

from __future__ import annotations

import streamlit as st

from app import config

SCALES = (  # an assay is weighed; drawn here since Streamlit fetches icons for a browser's tab from a network
    '<g fill="none" stroke="#15908b" stroke-width="2.4" stroke-linecap="round" stroke-linejoin="round">'
    '<path d="M14 4v20M8 24.5h12M4.5 8h19"/><path d="M4.8 8l-3.4 8.4a3.6 3.6 0 0 0 6.8 0z"/>'
    '<path d="M23.2 8l-3.4 8.4a3.6 3.6 0 0 0 6.8 0z"/></g>'
)
ICON = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 28 28" width="28" height="28">{SCALES}</svg>'
LOGO = (
    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 112 28" width="112" height="28">{SCALES}'
    '<text x="34" y="21" font-family="system-ui, Segoe UI, Roboto, Helvetica, Arial, sans-serif" font-size="21" '
    'font-weight="700" fill="#15908b">Assay</text></svg>'
)


def draw() -> None:
    """Put the style and the name on the page."""
    st.html(config.STYLE)
    st.logo(LOGO, size="medium")

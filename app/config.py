"""Everything Streamlit is told before it starts, as data: `assay serve` passes it on, main.py reads the names.

The server listens on this machine only, reports nothing to anybody, and shows neither menu noise nor a traceback.
"""

from __future__ import annotations

import os
from pathlib import Path

NAME = "Assay"
MAIN = Path(__file__).with_name("main.py")
STYLE = Path(__file__).with_name("style.css")

WORKSPACE = "ASSAY_WORKSPACE"  # environment: the folder that holds runs and their inputs
DEVICE = "ASSAY_DEVICE"  # environment: "auto", "cuda", "mps", "cpu"

ALLOW_CODE = "ASSAY_ALLOW_CODE"  # environment: "1" opens pickles, which run code, in the sandbox
MODELS = "ASSAY_MODELS"  # environment: folders of which files may be opened where they lie, like PATH
SHARED = "ASSAY_SHARED"  # environment: "1" shows everybody's models and inputs to everybody
MEMORY = "ASSAY_MEMORY"  # environment: GiB that one worker may take
QUOTA = "ASSAY_QUOTA_GIB"  # environment: GiB that one person may keep
HOSTS = "ASSAY_HOSTS"  # environment: more names by which browsers may call this server, with commas between them

UPLOAD_MB = 4096  # a model file; inputs and records say a smaller limit of their own

OPTIONS: dict[str, object] = {
    "server.address": "127.0.0.1",
    "server.allowedHosts": ("localhost", "127.0.0.1", "::1"),  # a page elsewhere may have its name lead here
    "server.headless": True,
    "server.fileWatcherType": "none",
    "server.runOnSave": False,
    "server.showEmailPrompt": False,
    "server.maxUploadSize": UPLOAD_MB,
    "browser.gatherUsageStats": False,
    "client.toolbarMode": "minimal",
    "client.showErrorDetails": "none",
    "client.showErrorLinks": "false",
    "logger.level": "warning",
    "theme.baseRadius": "0.5rem",
    "theme.showWidgetBorder": True,
    "theme.showSidebarBorder": True,
    "theme.baseFontSize": 15,
    "theme.paddingTop": "1rem",
    "theme.light.primaryColor": "#0b6e6e",
    "theme.light.backgroundColor": "#ffffff",
    "theme.light.secondaryBackgroundColor": "#f3f5f7",
    "theme.light.textColor": "#1b2430",
    "theme.light.borderColor": "#dbe1e8",
    "theme.dark.primaryColor": "#2a9a93",
    "theme.dark.backgroundColor": "#11161c",
    "theme.dark.secondaryBackgroundColor": "#1a212a",
    "theme.dark.textColor": "#e4e9ef",
    "theme.dark.borderColor": "#2d3743",
}


def flags(**more: object) -> list[str]:
    """OPTIONS as arguments of `streamlit run`; `server_port=8501` adds or replaces "server.port"."""
    chosen = {**OPTIONS, **{name.replace("_", ".", 1): value for name, value in more.items()}}
    listed = [(name, one) for name, value in chosen.items() for one in (value if isinstance(value, tuple) else [value])]
    listed += [("server.allowedHosts", one.strip()) for one in os.environ.get(HOSTS, "").split(",") if one.strip()]
    return [f"--{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in listed]

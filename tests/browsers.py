"""Which browser looks at the page in its tests."""

import os
import shutil

CHROMIUM = os.environ.get("CW_STORE_TEST_CHROMIUM") or shutil.which("chromium")
"""Chromium, None where there is none."""

NO_BROWSER = "there is no Chromium to look at the page with; make chromium installs Debian's"
"""Why tests in a browser are skipped."""

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""What it is started with: it asks nobody but the page for anything."""

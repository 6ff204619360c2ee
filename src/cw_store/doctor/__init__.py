"""What is wrong with a store, why it matters, and what mends it.

    from cw_store import doctor

    for finding in await doctor.diagnose("cw.db"):
        if finding.level == "problem":
            print(finding.what, finding.why, finding.command)

Each check is bounded in time by itself, and talks to nobody but the store's server.
"""

from cw_store.doctor.examining import diagnose
from cw_store.doctor.finding import Finding, Level
from cw_store.doctor.fixing import fix

__all__ = ["Finding", "Level", "diagnose", "fix"]

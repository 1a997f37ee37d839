"""What a loader's library counts by itself, as far as it says so."""

from __future__ import annotations

import math

from ioprof.contract import HasEngineCounters, LoaderSession


def counters_of(session: LoaderSession) -> dict[str, float]:
    """Return the counters of the session's library that are numbers; nothing where it has none."""
    if not isinstance(session, HasEngineCounters):
        return {}
    return {name: float(value) for name, value in session.engine_counters().items() if math.isfinite(value)}

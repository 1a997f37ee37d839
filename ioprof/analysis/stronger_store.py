"""The address of a store that is better in one way: a throttled one's own parameters, changed."""

from __future__ import annotations

import re

from ioprof.analysis.cures import CureId

_THROTTLED = "throttle+"
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(.*)")
_CHANGES: dict[tuple[CureId, str], float] = {
    ("store-latency", "latency"): 0.5,
    ("store-bandwidth", "bandwidth"): 2.0,
    ("store-iops", "iops"): 2.0,
}


def stronger_url(url: str, better: CureId) -> str | None:
    """Return what to give ``--store`` for half the latency, or twice the bandwidth or operations per second.

    None: no address says that.

    Args:
        url: the store's, as in the spec.
        better: `store-latency`, `store-bandwidth` or `store-iops`.
    """
    base, mark, parameters = url.partition("?")
    if not url.startswith(_THROTTLED) or not mark:
        return None
    changed = "&".join(_better(pair, better) for pair in parameters.split("&"))
    return None if changed == parameters else f"{base}?{changed}"


def _better(pair: str, better: CureId) -> str:
    key, _, text = pair.partition("=")
    factor, quantity = _CHANGES.get((better, key.partition(".")[0])), _QUANTITY.fullmatch(text)
    if factor is None or quantity is None:
        return pair
    return f"{key}={float(quantity[1]) * factor:.10g}{quantity[2]}"

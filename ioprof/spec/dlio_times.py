"""DLIO's times in seconds: one number, or a mapping that names a distribution."""

from __future__ import annotations

from ioprof.spec.dlio_file import DlioFile

TIME = "train.computation_time"


def step_times(file: DlioFile) -> tuple[int | None, str | None]:
    """Return the busy time of each batch in ns, and the distribution it is drawn from, as spec values.

    Raises:
        SpecError: the mapping does not say enough, or its type is unknown.
    """
    if file.has(TIME):
        mean_ns, stdev = _ns(file.number(TIME)), file.number(f"{TIME}_stdev")
        return (mean_ns, None) if not stdev else (None, f"normal:{mean_ns}ns:{_ns(stdev)}ns")
    kind = file.text(f"{TIME}.type") or ("normal" if file.has(f"{TIME}.stdev") else None)
    fields = {
        None: ("mean",), "normal": ("mean", "stdev"), "uniform": ("min", "max"), "gamma": ("shape", "scale"),
        "exponential": ("scale",), "poisson": ("lam",),
    }.get(kind)  # fmt: skip
    if fields is None:
        raise file.wrong(f"{TIME}.type", "must be normal, uniform, gamma, exponential or poisson")
    found = [file.number(f"{TIME}.{name}") for name in fields]
    if kind is None:
        return _ns(found[0]), None
    if None in found:
        missing = fields[found.index(None)]
        raise file.wrong(f"{TIME}.{missing}", f"a {kind} distribution needs it")
    times = [f"{_ns(value)}ns" for value in found]
    if kind == "gamma":
        times[0] = f"{found[0]:g}"
    return None, ":".join([kind, *times])


def sleep_ns(file: DlioFile, key: str) -> int | None:
    """Return a time per sample in ns; of a distribution its mean, and its spread is left unread."""
    if file.has(key):
        return _ns(file.number(key))
    return _ns(file.number(f"{key}.mean"))


def _ns(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1e9)

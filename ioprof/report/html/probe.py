"""The page of a probe: the store's curve by itself."""

from __future__ import annotations

from ioprof.report.html.page import page
from ioprof.report.html.section import Section, Text
from ioprof.report.html.store import probe_blocks
from ioprof.trace.probe_record import ProbeRecord


def probe_page(record: ProbeRecord) -> str:
    """Return the page of a probe."""
    blocks = probe_blocks(record, None, "no level read anything")
    if record.outcome != "complete":
        told = f"The probe is {record.outcome}: {record.reason or 'what was measured until then'}"
        blocks = (Text(text=told, tone="warning"), *blocks)
    title = f"probe of {record.workload} · {record.store}"
    section = Section(id="store", title="The store without a loader", blocks=blocks)
    return page(title, f"ioprof {record.ioprof_version}, {record.started_utc}", [section])

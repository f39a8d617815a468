"""A profile as a page of its own."""

from __future__ import annotations

from podium.records import ProfileRecord
from podium.report.page import Page
from podium.report.profile import profile_sections
from podium.report.render import as_html


def page_html(record: ProfileRecord) -> str:
    """The page of a profile, which needs nothing but itself."""
    work, sections = record.workload, profile_sections(record)
    if record.status == "skipped":
        return as_html(Page("Profile", "", sections))
    lead = (
        f"{work.get('iterations')} iterations of {work.get('batch_size')} rows on {work.get('device')} with "
        f"{work.get('threads')} threads · {record.created_at:%Y-%m-%d %H:%M UTC}"
    )
    return as_html(Page(f"{record.model}: where does the time go?", lead, sections))

"""A profile as a page, and as a section of the report."""

from __future__ import annotations

from podium.display.blocks import Section, Table, Text
from podium.display.charts import PlotChart
from podium.profiling.findings import findings_of
from podium.records import ProfileRecord
from podium.report.profile import profile_section, profile_sections
from podium.report.render import profile_html
from tests.unit.profiling.samples import kernel, profile_record


def blocks_of(section: Section) -> list[object]:
    return [
        inner for one in section.blocks for inner in ([one, *blocks_of(one)] if isinstance(one, Section) else [one])
    ]


def test_the_page_has_a_section_for_what_was_found_and_none_for_the_rest() -> None:
    record = profile_record()
    record = record.model_copy(update={"findings": findings_of(record)})
    names = [name for name, _, _ in profile_sections(record)]
    assert names == ["findings", "phases", "operators", "roofline", "memory", "modules", "observer", "tools"]
    found = [name for name, _, _ in profile_sections(record.model_copy(update={"kernels": (kernel("sgemm"),)}))]
    assert "kernels" in found
    page = profile_html(record)
    assert "minilm (eager): where does the time go?" in page and "https://ui.perfetto.dev" in page
    assert "apt-get install nsys" in page and "<script" not in page


def test_a_profile_of_phases_alone_has_a_page() -> None:
    bare = profile_record(
        operators=(), groups=(), roofline=None, memory=(), modules=(), observers=(), attempts=(), tools=()
    )
    assert [name for name, _, _ in profile_sections(bare)] == ["findings", "phases"]


def test_the_section_of_the_report_is_short_and_names_what_could_not_be_had() -> None:
    found = blocks_of(profile_section(profile_record()))
    assert sum(isinstance(one, PlotChart) for one in found) == 2
    assert any(isinstance(one, Table) and "Operators" in one.label for one in found)
    assert any(isinstance(one, Text) and "nsys skipped" in one.text for one in found)


def test_a_skipped_profile_says_why_and_how_to_get_one() -> None:
    record = ProfileRecord(key="k", status="skipped", code="OFF", reason="profile.tools is empty")
    (said,) = profile_section(record).blocks
    assert isinstance(said, Text)
    assert said.text == "This run has no profile: profile.tools is empty; with profile=operators it has one."
    assert "Nothing was profiled: profile.tools is empty." in profile_html(record)

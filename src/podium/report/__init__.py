"""The report of a run: one self-contained HTML page, Markdown, and figures for other tools."""

from podium.report.inputs import ReportInputs
from podium.report.render import Rendered, render

__all__ = ["Rendered", "ReportInputs", "render"]

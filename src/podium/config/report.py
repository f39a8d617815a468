"""What the report shows."""

from __future__ import annotations

from pydantic import Field

from podium.config.section import Section


class ReportConfig(Section):
    """What the report shows beside figures."""

    examples: int = Field(
        0,
        ge=0,
        le=50,
        description="Rows with a suspicious label that are shown with their text. `0`: no text is shown.",
    )

"""What a study says of itself: the document `study.json` beside its trials."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ValidationError

from podium.config.problems import explain
from podium.config.section import Section
from podium.errors import InputError
from podium.hpo.experiment import Experiment


class StudyAbout(Section):
    """Where a study comes from.

    Attributes:
        engine: what runs its trials.
        backbone: that it tunes; empty for one read from a Katib file.
        family: key of the studies that share everything but the backbone; empty for one read from a Katib file.
        source: the Katib file it was read from; empty for one of the pipeline.
        katib: the Katib Experiment it was read from.
    """

    engine: str = "embedded"
    backbone: str = ""
    family: str = ""
    source: str = ""
    katib: dict[str, Any] | None = None


class StudyDescription(Section):
    """A study without its trials."""

    schema_version: Literal[2] = 2
    about: StudyAbout = StudyAbout()
    experiment: Experiment

    def to_json(self) -> str:
        """JSON text; `from_json` reads it back equal."""
        return self.model_dump_json(indent=1)

    @classmethod
    def from_json(cls, text: str) -> StudyDescription:
        """Read a description.

        Raises:
            InputError: the text does not describe a study as this version of Podium writes it.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            problems = "; ".join(explain(error, root=cls))
            raise InputError(f"the description of a study is damaged, or of another version: {problems}") from error

"""Where the labelled data is, what it looks like, and how it is read and split."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from podium.config.section import Fraction, Place, Positive, Section, TaskName
from podium.keys import NotKeyed
from podium.tasks import TASKS
from podium.text import did_you_mean

READING = ("format", "encoding", "fallback_encoding", "delimiter", "header", "sheet", "label_names", "sentence_column")
"""Fields of a data set that say how its files are read, and nothing of what is done with the rows."""


class DatasetConfig(Section):
    """Where the labelled data is, what it looks like, and how it is split."""

    name: Annotated[str, NotKeyed("a label for people")] = Field(
        description="Name for people, and of the registered model. With `--data`: the file's name."
    )
    path: Annotated[str, Place(recorded=True), NotKeyed("keyed by the digest of its bytes, not by its place")] = Field(
        description="File, folder, URI (`s3://`, `gs://`, `hf://`, `https://`), `pkg:NAME/PATH`, or a database URL."
    )
    test_path: Annotated[str | None, Place(recorded=True), NotKeyed("keyed by the digest of its bytes")] = Field(
        None, description="Fixed test rows. `null`: taken from `path`."
    )
    validation_path: Annotated[str | None, Place(recorded=True), NotKeyed("keyed by the digest of its bytes")] = Field(
        None, description="Fixed validation rows. `null`: taken from `path`."
    )
    predict_path: Annotated[
        str | None, Place(recorded=True), NotKeyed("only predicted; what is learned from is keyed by its bytes")
    ] = Field(
        None,
        description="Rows without labels; the winner predicts them at the end, into `predictions.csv`. The same as "
        "`path`: its test files or split.",
    )
    licence: Annotated[str | None, NotKeyed("shown to people, changes no result")] = Field(
        None, description="Licence of the data, shown in the report."
    )
    task: TaskName = Field(description="What the rows are labelled for: the name of a task.")
    format: str = Field("auto", description="Name of the format. `auto`: found by extension and contents.")
    query: str | None = Field(None, description="A SELECT statement; required by `format=sql`.")
    text_column: str = Field("text", description="Column of the text or tokens.")
    label_column: str = Field(
        "label", description="Column of the label, labels or tags; several columns of 0 and 1 as `A,B`."
    )
    options: dict[str, bool | int | float | str] = Field(
        default_factory=dict, description="Settings of the task, by name."
    )
    label_names: tuple[str, ...] = Field(
        (), description="Names of the labels or tags that the data gives as numbers from 0."
    )
    sentence_column: str | None = Field(
        None, description="Column that numbers sentences, where each row is one token. `null`: found by its name."
    )
    delimiter: str = Field(
        "auto", description="What parts the fields of `csv` and `tsv`, or `tab`. `auto`: found in each file."
    )
    header: bool | None = Field(
        None, description="Whether the first line has the names of the columns. `null`: found in each file."
    )
    sheet: str | None = Field(None, description="Sheet of a workbook. `null`: the first.")
    encoding: str = Field(
        "utf-8",
        description="Encoding of text files that begin with no byte order mark. With `--data`: found in the file.",
    )
    fallback_encoding: str | None = Field(None, description="Encoding tried row by row where `encoding` fails.")
    on_bad_row: Literal["fail", "drop"] = Field(
        "fail", description="`fail` ends the run; `drop` leaves the row out and counts it."
    )
    max_row_bytes: Positive = Field(1_000_000, description="A longer row is a bad row.")
    deduplicate: bool = Field(True, description="Keep the first row of every content.")
    max_rows: Positive | None = Field(None, description="Sample this many rows, stratified.")
    validation_fraction: Fraction = Field(
        0.1, description="Share of all rows that is the validation split, where no file fixes it."
    )
    test_fraction: Fraction = Field(
        0.2, description="Share of all rows that is the test split, where no file fixes it."
    )
    folds: int = Field(3, ge=2, description="Folds of the cross-validation, at least 2.")

    @property
    def task_options(self) -> dict[str, bool | int | float | str]:
        known = TASKS.get(self.task).options
        return {name: self.options.get(name, option.default) for name, option in known.items()}

    @model_validator(mode="after")
    def _check(self) -> Self:
        known = TASKS.get(self.task).options
        for name, value in self.options.items():
            if name not in known:
                names = f"its options are {', '.join(known)}" if known else "it has none"
                hint = did_you_mean(name, known)
                raise ValueError(f"options.{name} must be an option of task={self.task}, but {names}{hint}")
            if type(value) is not type(known[name].default):
                kind = type(known[name].default).__name__
                raise ValueError(f"options.{name} must be of type {kind}, but got {value!r}")
        if self.delimiter != "auto" and len(self.delimiter) != 1 and self.delimiter not in ("tab", "\\t"):
            raise ValueError(f"delimiter must be one character, tab or auto, but got {self.delimiter!r}")
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError(
                "validation_fraction + test_fraction < 1 must hold, but got "
                f"{self.validation_fraction} + {self.test_fraction}; leave rows to train on"
            )
        return self

"""A page as Markdown: its text and tables; charts are on the HTML page only."""

from __future__ import annotations

import html
import re

from podium.display.blocks import Block, Cell, Code, Columns, Facts, Points, Section, Table, Text
from podium.report.page import Page

_MARKUP = re.compile(r"([\\`*_\[\]|#~])")


def as_markdown(page: Page) -> str:
    """The page, in the order of its sections."""
    lines = [f"# {escaped(page.title)}", escaped(page.lead)]
    if answer := page.answer:
        said = "**".join(escaped(part) for part in answer.text.split("**"))
        lines += [f"**{answer.verdict}** {escaped(answer.briefly)}".rstrip(), said]
        lines += [
            "\n".join(f"- {escaped(name)}: {escaped(value)} ({escaped(note)})" for name, value, note in answer.figures)
        ]
    for _, _, section in page.sections:
        lines += _section(section, 2)
    return "\n\n".join(line for line in lines if line) + "\n"


def escaped(text: str) -> str:
    """Text on one line, without anything that Markdown or the HTML inside it would read as markup."""
    return _MARKUP.sub(r"\\\1", html.escape(" ".join(text.split()), quote=False))


def _section(section: Section, level: int) -> list[str]:
    heading = f"{'#' * level} {escaped(f'{section.title} {section.mark}')}" if section.title else ""
    return [heading, *(line for one in section.blocks for line in _block(one, level))]


def _block(block: Block, level: int) -> list[str]:
    found: list[str] = []
    match block:
        case Text(text=text, style=style):
            found = [f"> {escaped(text)}" if style == "warning" else escaped(text)]
        case Facts(items=items):
            found = ["\n".join(f"- {escaped(name)}: {escaped(value)}" for name, value in items)]
        case Points(items=items):
            found = ["\n".join(f"- {escaped(f'{text} ({code})' if code else text)}" for text, code in items)]
        case Code(text=text):
            found = ["~~~\n{}\n~~~".format(text.replace("\n~~~", "\n ~~~"))]
        case Table():
            found = [escaped(block.caption), _table(block)]
        case Columns(sections=sections):
            found = [line for one in sections for line in _section(one, level + 1)]
        case Section():
            found = _section(block, level + 1)
    return found


def _table(table: Table) -> str:
    rules = ["---:" if side == "r" else "---" for side in table.align]
    rows = [[escaped(name) for name in table.columns], rules]
    for row in table.lines:
        cells = [_cell(cell) for cell in row.all_cells]
        cells[table.heading] += f" {row.mark}" if row.mark else ""
        rows.append(cells)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def _cell(cell: Cell) -> str:
    more = "".join(f" ({part})" for part in (cell.note, cell.tag) if part)
    return escaped(f"{cell.text}{more}")

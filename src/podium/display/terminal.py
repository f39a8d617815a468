"""What people are shown on a terminal: lines, tables, and names with what is said of them."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

_WIDTH = 160
"""Columns of a table that no terminal bounds."""

Part = str | tuple[Iterable[str], Iterable[Iterable[str]]]
"""A line, or the headings of a table and its rows."""


def say(console: Console, text: str) -> None:
    """Print a text as it is, without markup, and each of its lines as long as it is."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def say_facts(console: Console, facts: Mapping[str, str], width: int) -> None:
    """Print names in bold, and beside them, from column `width` on, the lines of what is said of them."""
    from rich.markup import escape

    for name, text in facts.items():
        for number, line in enumerate(text.splitlines() or [""]):
            head = f"{'' if number else name:<{width}}"
            console.print(f"[bold]{head}[/bold]{escape(line)}", highlight=False, soft_wrap=True)


def joined(parts: Iterable[Part], *, terminal: bool) -> str:
    """Lines and tables below each other, as wide as the terminal or, without one, `_WIDTH` columns."""
    from rich.console import Console
    from rich.table import Table

    file = io.StringIO()
    width = None if terminal else _WIDTH
    console = Console(file=file, width=width, force_terminal=terminal, highlight=False, markup=False)
    for part in parts:
        if isinstance(part, str):
            console.print(part)
            continue
        headings, rows = part
        table = Table(*headings, box=None, pad_edge=False)
        for row in rows:
            table.add_row(*row)
        console.print(table)
    return file.getvalue()

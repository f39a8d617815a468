"""Which document every row belongs to, such as the sentences of an article.

Sentences of a document share names and topic. So a split never tears a document apart, and a bootstrap resamples
documents.
"""

from __future__ import annotations

import numpy as np

from podium.data.index import Ints, RowIndex
from podium.data.sources import ROLES


def documents(index: RowIndex) -> Ints | None:
    """First row of the document of every row, which names the document; None where there are no documents.

    In a file that marks where documents begin, the rows before the first mark are a document, too. In files without
    marks each row is a document of its own. So it is in all files of a role that together have one document only: a
    single mark at the top of a file says nothing about the rows below it.
    """
    lines, files, rows = index.document_lines, index.files, np.arange(len(index))
    if not lines.any():
        return None
    _, first, members = np.unique(files * (lines.max() + 1) + lines, return_index=True, return_inverse=True)
    marked = np.zeros(int(files.max()) + 1, dtype=np.bool_)
    marked[files[lines > 0]] = True
    found: Ints = np.where(marked[files], first[members], rows)
    for number in range(len(ROLES)):
        own = np.flatnonzero(index.roles == number)
        if len(np.unique(found[own])) == 1:
            found[own] = own
    return None if np.array_equal(found, rows) else found

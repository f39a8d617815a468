"""Which document every sentence belongs to (NER).

Sentences of a document share names and topic, so a document is never torn apart by a split, and it is what a bootstrap
resamples.
"""

from __future__ import annotations

import numpy as np

from podium.data.index import Ints, RowIndex
from podium.data.sources import ROLES


def documents(index: RowIndex) -> Ints | None:
    """First row of the document of every row, which names the document; None where there are no documents.

    In a file that tells where documents begin, what stands before the first beginning is a document, too. Sentences of
    other files are a document each, and so are those of a role whose files begin one document together: a line at the
    top of a file tells nothing about what is below it.
    """
    lines, files, rows = index.document_lines, index.files, np.arange(len(index))
    if not lines.any():
        return None
    _, first, members = np.unique(files * (lines.max() + 1) + lines, return_index=True, return_inverse=True)
    tells = np.zeros(int(files.max()) + 1, dtype=np.bool_)
    tells[files[lines > 0]] = True
    found: Ints = np.where(tells[files], first[members], rows)
    for number in range(len(ROLES)):
        own = np.flatnonzero(index.roles == number)
        if len(np.unique(found[own])) == 1:
            found[own] = own
    return None if np.array_equal(found, rows) else found

"""Small mutable documents: what a computation writes down while it runs, such as a trial ledger."""

from __future__ import annotations

from podium.errors import StoreError
from podium.store.files import Files, check_name


class DocumentFolder:
    """The documents under one prefix of a store.

    Each write replaces one document atomically: a reader sees the old text or the new, even after the writer was
    killed. If two processes write the same document, the last one wins, so give each writer its own names.

    Methods raise InputError for a name that is not a plain file name, and StoreError when the storage fails.
    """

    def __init__(self, files: Files, prefix: str) -> None:
        self._files = files
        self._prefix = prefix
        self._folder = "/".join(("documents", *(check_name(part, "a document prefix") for part in prefix.split("/"))))

    @property
    def place(self) -> str:
        """Path or key of the folder in its file system."""
        return self._files.path(self._folder)

    def below(self, name: str) -> DocumentFolder:
        """The folder `name` inside this one."""
        return DocumentFolder(self._files, f"{self._prefix}/{name}")

    def put(self, name: str, text: str) -> None:
        """Create or replace a document; it keeps its old text when the storage fails."""
        self._files.write(self._path(name), text.encode())

    def get(self, name: str) -> str | None:
        """Text of a document, or None where there is none.

        Raises:
            StoreError: the document is not UTF-8 text.
        """
        data = self._files.read(self._path(name))
        try:
            return None if data is None else data.decode()
        except UnicodeDecodeError as error:
            place = self._files.path(self._path(name))
            raise StoreError(f"a document must be UTF-8 text, but {place} is damaged ({error}); remove it") from error

    def names(self) -> list[str]:
        """Names of all documents under the prefix, sorted."""
        return self._files.names(self._folder)

    def _path(self, name: str) -> str:
        return f"{self._folder}/{check_name(name, 'a document name')}"

"""Readers, one per kind of format; importing this package registers them all."""

from podium.data.readers import columnar, conll, delimited, folder, json_rows, sql
from podium.data.readers.base import READERS, Reader, open_reader

__all__ = ["READERS", "Reader", "columnar", "conll", "delimited", "folder", "json_rows", "open_reader", "sql"]

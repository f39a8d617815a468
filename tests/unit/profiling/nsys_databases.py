"""Databases as versions of nsys export them, with the tables and columns that matter."""

import sqlite3
from contextlib import closing
from pathlib import Path

OLD, NEW = "EXPORT_META_DATA", "META_DATA_EXPORT"


def database(
    path: Path,
    *,
    ranges: dict[str, list[tuple[int, int | None]]] | None = None,
    kernels: list[tuple[str, str, int, int]] | None = None,
    copies: list[tuple[int, int, int, int]] | None = None,
    version: str = "2022.4.2.1",
    registered: bool = True,
    mangled: bool = True,
) -> Path:
    """Write a database.

    Args:
        ranges: start and end of each range, by name.
        kernels: demangled and mangled name, start and end.
        copies: kind, bytes, start and end.
        registered: whether the names of ranges are in the table of strings, or in the events.
        mangled: whether kernels have mangled names.
    """
    strings: dict[str, int] = {}

    def number(text: str) -> int:
        return strings.setdefault(text, len(strings) + 1)

    with closing(sqlite3.connect(path)) as made, made:
        meta = OLD if version < "2023" else NEW
        made.execute("CREATE TABLE StringIds (id INTEGER PRIMARY KEY, value TEXT)")
        made.execute(f"CREATE TABLE {meta} (name TEXT, value TEXT)")
        made.execute(f"INSERT INTO {meta} VALUES ('EXPORT_PRODUCT_VERSION', ?)", (version,))
        if ranges is not None:
            made.execute(
                'CREATE TABLE NVTX_EVENTS (text TEXT, textId INTEGER, eventType INTEGER, "end" INTEGER, start INTEGER)'
            )
            made.execute("INSERT INTO NVTX_EVENTS VALUES ('a domain', NULL, 75, NULL, 0)")
            for name, times in ranges.items():
                text, own = (None, number(name)) if registered else (name, None)
                made.executemany(
                    "INSERT INTO NVTX_EVENTS VALUES (?, ?, 59, ?, ?)", ((text, own, end, start) for start, end in times)
                )
        if kernels is not None:
            extra = ", mangledName INTEGER" if mangled else ""
            made.execute(
                'CREATE TABLE CUPTI_ACTIVITY_KIND_KERNEL (deviceId INTEGER, start INTEGER, "end" INTEGER, '
                f"demangledName INTEGER, shortName INTEGER{extra})"
            )
            for name, symbol, start, end in kernels:
                row = [
                    0,
                    start,
                    end,
                    number(name),
                    number(name.partition("(")[0]),
                    *([number(symbol)] if mangled else []),
                ]
                made.execute(f"INSERT INTO CUPTI_ACTIVITY_KIND_KERNEL VALUES ({', '.join('?' * len(row))})", row)
        if copies is not None:
            made.execute("CREATE TABLE ENUM_CUDA_MEMCPY_OPER (id INTEGER, name TEXT, label TEXT)")
            made.execute("INSERT INTO ENUM_CUDA_MEMCPY_OPER VALUES (1, 'CUDA_MEMCPY_KIND_HTOD', 'Host-to-Device')")
            made.execute(
                "CREATE TABLE CUPTI_ACTIVITY_KIND_MEMCPY "
                '(start INTEGER, "end" INTEGER, deviceId INTEGER, bytes INTEGER, copyKind INTEGER)'
            )
            for kind, size, start, end in copies:
                made.execute("INSERT INTO CUPTI_ACTIVITY_KIND_MEMCPY VALUES (?, ?, 0, ?, ?)", (start, end, size, kind))
        made.executemany("INSERT INTO StringIds VALUES (?, ?)", ((own, text) for text, own in strings.items()))
    return path

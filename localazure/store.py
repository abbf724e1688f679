"""What local Azure remembers: JSON documents in one SQLite file, by kind and key."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Document = dict[str, Any]


class Store:
    """Documents by (kind, key). Keys are exact; where names compare without regard to case, callers lower them.

    For one process, in any of its threads: the server owns the file while it runs. Every write is durable once it
    returns, short of the machine's own crash.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS documents ("
            "number INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL,"
            " UNIQUE (kind, key))"
        )

    def get(self, kind: str, key: str) -> Document | None:
        """The document, a fresh copy; None where there is none."""
        rows = self._execute("SELECT body FROM documents WHERE kind = ? AND key = ?", (kind, key))
        return _document(rows[0][0]) if rows else None

    def put(self, kind: str, key: str, body: Document) -> None:
        """Write the document, over an older one."""
        self._execute(
            "INSERT INTO documents (kind, key, body) VALUES (?, ?, ?)"
            " ON CONFLICT (kind, key) DO UPDATE SET body = excluded.body",
            (kind, key, json.dumps(body)),
        )

    def delete(self, kind: str, key: str) -> None:
        """Forget the document, if there is one."""
        self._execute("DELETE FROM documents WHERE kind = ? AND key = ?", (kind, key))

    def items(self, kind: str, prefix: str = "") -> Iterator[tuple[str, Document]]:
        """(key, document) of every key that begins with `prefix`, oldest first."""
        rows = self._execute(
            "SELECT key, body FROM documents WHERE kind = ? AND substr(key, 1, ?) = ? ORDER BY number",
            (kind, len(prefix), prefix),
        )
        for key, body in rows:
            yield key, _document(body)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _execute(self, statement: str, values: tuple[Any, ...]) -> list[Any]:
        with self._lock:  # files are copied in threads, which look up where they are
            return self._database.execute(statement, values).fetchall()


def _document(text: str) -> Document:
    document: Document = json.loads(text)
    return document

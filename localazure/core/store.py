"""What local Azure remembers: JSON documents in one SQLite file, by kind and key."""

import collections
import contextlib
import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Document = dict[str, Any]

KEEPS_PAST = ("endpoint", "deployment")
"""The kinds of documents that can be read as they were."""
PAST = 50
"""How many changes of a document are kept."""


class Store:
    """Documents by (kind, key). Keys are exact; where names compare without regard to case, callers lower them.

    For one process, in any of its threads: the server owns the file while it runs. Every write is durable once it
    returns, short of the machine's own crash.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._past: dict[tuple[str, str], collections.deque[tuple[float, str | None]]] = {}
        """When a document changed, and its text before: what it was at a moment is what it was before the first change
        since."""
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS documents ("
            "number INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL,"
            " UNIQUE (kind, key))"
        )

    def get(self, kind: str, key: str, as_of: float | None = None) -> Document | None:
        """Return the document, a fresh copy; None where there is none. `as_of`: at this moment of `time.monotonic`."""
        text = self._then(kind, key, self._text(kind, key), as_of)
        return None if text is None else _document(text)

    def put(self, kind: str, key: str, body: Document) -> None:
        """Write the document, over an older one."""
        self._keep(kind, key)
        self._execute(
            "INSERT INTO documents (kind, key, body) VALUES (?, ?, ?)"
            " ON CONFLICT (kind, key) DO UPDATE SET body = excluded.body",
            (kind, key, json.dumps(body)),
        )

    def delete(self, kind: str, key: str) -> None:
        """Forget the document, if there is one."""
        self._keep(kind, key)
        self._execute("DELETE FROM documents WHERE kind = ? AND key = ?", (kind, key))

    def items(self, kind: str, prefix: str = "", as_of: float | None = None) -> Iterator[tuple[str, Document]]:
        """Yield (key, document) of every key that begins with `prefix`, oldest first; at the moment `as_of`, or now."""
        rows = self._execute(
            "SELECT key, body FROM documents WHERE kind = ? AND substr(key, 1, ?) = ? ORDER BY number",
            (kind, len(prefix), prefix),
        )
        texts: dict[str, str | None] = dict(rows)
        if as_of is not None:
            texts |= {key: None for of, key in self._past if of == kind and key.startswith(prefix) and key not in texts}
        for key, text in texts.items():
            if (then := self._then(kind, key, text, as_of)) is not None:
                yield key, _document(then)

    def last(self, kind: str, count: int) -> list[Document]:
        """Return the `count` documents that were made last, the newest first."""
        rows = self._execute("SELECT body FROM documents WHERE kind = ? ORDER BY number DESC LIMIT ?", (kind, count))
        return [_document(body) for (body,) in rows]

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All writes of the block or, when it raises or the process dies in it, none. Nothing may be awaited in it."""
        with self._lock:
            self._database.execute("BEGIN")
            try:
                yield
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _text(self, kind: str, key: str) -> str | None:
        rows = self._execute("SELECT body FROM documents WHERE kind = ? AND key = ?", (kind, key))
        return rows[0][0] if rows else None

    def _keep(self, kind: str, key: str) -> None:
        if kind in KEEPS_PAST:
            past = self._past.setdefault((kind, key), collections.deque(maxlen=PAST))
            past.append((time.monotonic(), self._text(kind, key)))

    def _then(self, kind: str, key: str, text: str | None, moment: float | None) -> str | None:
        """Return the text of a document at the moment, if it is `text` now."""
        if moment is not None:
            for changed, before in self._past.get((kind, key), ()):
                if changed > moment:
                    return before
        return text

    def _execute(self, statement: str, values: tuple[Any, ...]) -> list[Any]:
        with self._lock:  # files are copied in threads, which look up where they are
            return self._database.execute(statement, values).fetchall()


def _document(text: str) -> Document:
    document: Document = json.loads(text)
    return document

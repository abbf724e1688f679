"""What local Azure remembers, typed: the documents of one kind, each read and written as a model."""

from collections.abc import Iterator
from typing import Generic, TypeVar

from pydantic import BaseModel

from localazure.core.store import Store

M = TypeVar("M", bound=BaseModel)


class Table(Generic[M]):
    """The documents of one kind in a `Store`, which keeps of each what has been set, by the names that clients know."""

    def __init__(self, store: Store, kind: str, model: type[M]) -> None:
        self._store = store
        self._kind = kind
        self._model = model

    def get(self, key: str, as_of: float | None = None) -> M | None:
        """Return the document, a fresh copy; None where there is none.

        Args:
            key: Of the document.
            as_of: Read it as it was at this moment of `time.monotonic`; as it is now, if None.
        """
        document = self._store.get(self._kind, key, as_of)
        return None if document is None else self._model.model_validate(document)

    def put(self, key: str, document: M) -> None:
        """Write the document, over an older one."""
        self._store.put(self._kind, key, document.model_dump(by_alias=True, exclude_unset=True))

    def delete(self, key: str) -> None:
        """Forget the document, if there is one."""
        self._store.delete(self._kind, key)

    def items(self, prefix: str = "", as_of: float | None = None) -> Iterator[tuple[str, M]]:
        """Yield (key, document) of every key that begins with `prefix`, oldest first; as they were `as_of`, or are."""
        for key, document in self._store.items(self._kind, prefix, as_of):
            yield key, self._model.model_validate(document)

    def values(self, prefix: str = "", as_of: float | None = None) -> Iterator[M]:
        """Yield the documents, likewise."""
        for _, document in self.items(prefix, as_of):
            yield document

    def last(self, count: int) -> list[M]:
        """Return the `count` documents that were made last, the newest first."""
        return [self._model.model_validate(document) for document in self._store.last(self._kind, count)]

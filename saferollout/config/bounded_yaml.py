"""YAML within bounds: a file that is too large, too deep, or has aliases for too much, is refused at once."""

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.constructor import ConstructorError, SafeConstructor
from ruamel.yaml.error import ReusedAnchorWarning, YAMLError
from ruamel.yaml.nodes import MappingNode, SequenceNode

MAX_BYTES = 2**18
"""How large a file may be."""
MAX_DEPTH = 50
"""How deep values may lie in each other."""
MAX_VALUES = 10_000
"""How many keys and values a file may have, where each alias counts as all that it stands for."""
TOO_DEEP = f"is nested deeper than {MAX_DEPTH} levels, or has an alias that contains itself"
TOO_LARGE = f"holds more than {MAX_VALUES} keys and values, counting all that its aliases repeat"
FLATTER = "write fewer levels, values and aliases"


class InvalidValue(ConstructorError):
    """A value that is not what its form promises."""


class OutOfBounds(ConstructorError):
    """Values that are too many, or lie too deep in each other."""


def load(text: str) -> Any:
    """The values of YAML 1.2, nothing but plain ones, no key twice.

    Raises:
        InvalidValue: One is not what its form promises.
        OutOfBounds: There are too many of them, or they lie too deep in each other.
        YAMLError: They are not YAML; it knows the place.
    """
    try:
        with _quiet():
            return _yaml().load(text)
    except RecursionError:
        raise OutOfBounds(None, None, TOO_DEEP) from None
    except (ValueError, OverflowError) as error:  # an escape that stands for no character
        raise InvalidValue(None, None, str(error)) from None


def compose(text: str) -> Any:
    """The tree of nodes, each of which knows its line; None where it cannot be read."""
    try:
        with _quiet():
            return _yaml().compose(text)
    except (ValueError, OverflowError, YAMLError, RecursionError):
        return None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """An anchor's name may be given anew."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ReusedAnchorWarning)
        yield


def _yaml() -> YAML:
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = _Composer
    yaml.Constructor = _Constructor
    return yaml


class _Composer(Composer):
    """Makes nodes as long as they are within bounds: reading on would take minutes."""

    def __init__(self, loader: Any = None) -> None:
        super().__init__(loader)
        self._depth = 0
        self._count = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Make a node with all that lies in it.

        Raises:
            OutOfBounds: There are too many, or it lies too deep.
        """
        self._depth += 1
        self._count += 1
        if self._depth > MAX_DEPTH + 1 or self._count > MAX_VALUES:
            problem = TOO_LARGE if self._count > MAX_VALUES else TOO_DEEP
            raise OutOfBounds(None, None, problem, self.parser.peek_event().start_mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _Constructor(SafeConstructor):
    """Python's values of YAML; what cannot be made of it, or grows beyond bounds, is an error with its place."""

    def construct_document(self, node: Any) -> Any:
        """Make the values of a whole file."""
        _check_bounds(node)
        return super().construct_document(node)

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        """Make the value of a node.

        Raises:
            InvalidValue: It is not what its form promises.
            ConstructorError: It has another form than its tag says.
        """
        try:
            return super().construct_object(node, deep)
        except (TypeError, AttributeError, LookupError) as error:
            problem = f"{str(node.value)[:60]!r} does not fit !!{str(node.tag).rpartition(':')[2]}"
            raise InvalidValue(None, None, problem, node.start_mark) from error
        except ValueError as error:  # as of a date in month 13
            raise InvalidValue(None, None, str(error)[:200], node.start_mark) from error
        except ConstructorError as error:
            if error.problem and error.problem.startswith("failed to"):
                raise InvalidValue(None, None, error.problem[:200], error.problem_mark) from error
            raise


def _check_bounds(root: Any) -> None:
    """Check that a few aliases do not stand for billions of values.

    Raises:
        OutOfBounds: They do.
    """
    left = [(root, 0)]
    count = 0
    while left:
        node, depth = left.pop()
        count += 1
        if depth > MAX_DEPTH:
            raise OutOfBounds(None, None, TOO_DEEP, node.start_mark)
        if count > MAX_VALUES:
            raise OutOfBounds(None, None, TOO_LARGE, node.start_mark)
        if isinstance(node, MappingNode):
            left += [(part, depth + 1) for pair in node.value for part in pair]
        elif isinstance(node, SequenceNode):
            left += [(part, depth + 1) for part in node.value]

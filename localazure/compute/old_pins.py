"""Releases built before numpy 2, which fail with it: conda's metadata of their builds says so, pip's does not."""

from collections.abc import Iterator, Sequence

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import Specifier, SpecifierSet
from packaging.version import Version

from localazure.compute.pip_lines import distribution

HELD = "numpy<2"

_FIRST_WITH_NUMPY_2 = {
    "catboost": "1.2.8",
    "gensim": "4.4.0",
    "h5py": "3.11.0",
    "matplotlib": "3.8.4",
    "numba": "0.60.0",
    "onnxruntime": "1.19.0",
    "pandas": "2.2.2",
    "pyarrow": "16.0.0",
    "scikit-image": "0.23.1",
    "scikit-learn": "1.4.2",
    "scipy": "1.13.0",
    "shap": "0.46.0",
    "spacy": "3.8.0",
    "statsmodels": "0.14.2",
    "tensorflow": "2.18.0",
    "thinc": "8.3.0",
    "torch": "2.3.0",
    "torchvision": "0.18.0",
}
"""The first release of each that works with numpy 2: those before it say 'numpy.dtype size changed', or the like."""

_NUMPY_1, _NUMPY_2 = Version("1.26.4"), Version("2.0.2")


def older_than_numpy_2(requirements: Sequence[str]) -> tuple[str, ...]:
    """Return the packages that need numpy 1, as `name version`; none where the requirements choose a numpy."""
    parsed = list(_parse(requirements))
    decided = [one.specifier for one in parsed if distribution(one.name) == "numpy"]
    if not all(each.contains(_NUMPY_1) and each.contains(_NUMPY_2) for each in decided):
        return ()
    return tuple(
        f"{one.name} {str(one.specifier).removeprefix('==').removesuffix('.*')}"
        for one in parsed
        if (first := _FIRST_WITH_NUMPY_2.get(distribution(one.name))) and _ends_before(one.specifier, Version(first))
    )


def _parse(requirements: Sequence[str]) -> Iterator[Requirement]:
    for line in requirements:
        try:
            yield Requirement(line)
        except InvalidRequirement:
            continue  # an option, a path, or a mistake that uv will report


def _ends_before(specifiers: SpecifierSet, first: Version) -> bool:
    return not specifiers.contains(first) and any(_bounds(one, first) for one in specifiers)


def _bounds(specifier: Specifier, first: Version) -> bool:
    """Return whether it admits versions below `first` only, given that it does not admit `first` itself."""
    if specifier.operator not in ("==", "===", "<", "<=", "~="):
        return False
    return Version(specifier.version.removesuffix(".*")) <= first

"""Old pins beside a numpy that nothing holds."""

import pytest

from localazure.compute.conda import parse


@pytest.mark.parametrize(
    ("dependencies", "old"),
    [
        (["scikit-learn=1.2.2"], ("scikit-learn 1.2.2",)),
        (["scikit-learn=1.2.2", "numpy"], ("scikit-learn 1.2.2",)),
        (["scikit-learn=1.2.2", "numpy>=1.22"], ("scikit-learn 1.2.2",)),
        ([{"pip": ["scikit_learn==1.2.2", "pandas<2.2"]}], ("scikit_learn 1.2.2", "pandas <2.2")),
        (["h5py<=3.10", "pytorch=2.2", "pandas=2.3"], ("h5py <=3.10", "torch 2.2")),
        ([{"pip": ["statsmodels~=0.13.0"]}], ("statsmodels ~=0.13.0",)),
    ],
)
def test_numpy_is_held_below_2(dependencies: list[object], old: tuple[str, ...]) -> None:
    """As conda's metadata of such builds does; the hint says so."""
    wanted = parse({"dependencies": dependencies})
    assert wanted.old == old
    assert "numpy<2" in wanted.requirements
    assert wanted.hint == f" numpy<2 is installed, because this was built before numpy 2: {', '.join(old)}."


@pytest.mark.parametrize(
    "dependencies",
    [
        [],
        ["scikit-learn"],
        ["scikit-learn>=1.2"],
        ["scikit-learn=1.4"],
        ["scikit-learn=1.7.2", "pandas=2.2.2"],
        ["scikit-learn>=1.2,<2"],
        ["xgboost=1.7"],
        ["scikit-learn=1.2.2", "numpy=1.23.5"],
        ["scikit-learn=1.2.2", "numpy<2"],
        ["scikit-learn=1.2.2", {"pip": ["numpy==2.0.2"]}],
        [{"pip": ["--pre", "scikit-learn==1.2.2.post1.x"]}],
    ],
)
def test_numpy_is_let_alone(dependencies: list[object]) -> None:
    """Where no release needs an old one, or the file chooses one itself."""
    wanted = parse({"dependencies": dependencies})
    assert (wanted.old, wanted.hint) == ((), "")
    assert "numpy<2" not in wanted.requirements or "numpy<2" in dependencies

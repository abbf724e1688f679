"""What would be uploaded of a folder: what the SDK takes, and a clear problem where it would hang or fail."""

import os
import socket
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from azure.ai.ml._utils._asset_utils import get_ignore_file, get_object_hash

from saferollout import uploads

TREE = (
    "score.py",
    "run.log",
    "kept.log",
    ".hidden",
    "sub/run.log",
    "sub/.amlignore",
    "sub/deep/data.csv",
    "checkpoints/1.ckpt",
    ".git/HEAD",
    "__pycache__/score.pyc",
    "with space/é.txt",
    "Upper.py",
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of code with links to files and folders, in it and elsewhere."""
    folder = tmp_path / "code"
    for name in TREE:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name, encoding="utf-8")
    (tmp_path / "store" / "more").mkdir(parents=True)
    for name in ("weights.bin", "store.log", "more/part.csv"):
        (tmp_path / "store" / name).write_text(name, encoding="utf-8")
    (folder / "linked").symlink_to(tmp_path / "store")
    (folder / "sub" / "again").symlink_to("../linked/more")
    (folder / "link.py").symlink_to("score.py")
    (folder / "log.txt").symlink_to("run.log")
    return folder


def refusal(root: Path) -> str:
    """The problem that the folder has."""
    with pytest.raises(ValueError, match="; ") as caught:
        uploads.digest(uploads.files(root))
    return str(caught.value)


def test_a_folder_behind_a_link_is_the_folder_itself(root: Path, tmp_path: Path) -> None:
    """Its own ignore file counts, wherever it is reached from."""
    (root / ".gitignore").write_text("/checkpoints/\n*.log\n", encoding="utf-8")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "link").symlink_to(root)

    assert uploads.files(tmp_path / "elsewhere" / "link") == uploads.files(root)


def test_the_digest_is_over_names_and_contents(tmp_path: Path) -> None:
    """Bytes that move from one file to the next, a new name or an empty file more make another digest."""
    digests = set()
    for number, files in enumerate(
        (
            {"a": "xy", "b": "z"},
            {"a": "x", "b": "yz"},
            {"a": "xy", "c": "z"},
            {"a": "xy", "b": "z", "c": ""},
        )
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_text(content, encoding="utf-8")
        digests.add(uploads.digest(uploads.files(folder)))

    assert len(digests) == 4


@pytest.mark.parametrize("name", [".git/index", "sub/__pycache__/deep.pyc", ".git"])
def test_bookkeeping_makes_no_other_digest(root: Path, tmp_path: Path, name: str) -> None:
    """A commit or an import rewrites these files and changes no answer, though the SDK uploads them."""
    if name == ".git":  # of a second work tree it is a file
        (root / ".git").rename(tmp_path / ".git")
    before = uploads.digest(uploads.files(root))
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_text("rewritten", encoding="utf-8")

    assert uploads.digest(uploads.files(root)) == before


@pytest.mark.parametrize("target", ["..", ".", "../sub"])
def test_a_link_that_leads_in_a_circle_is_reported(root: Path, target: str) -> None:
    """The SDK would follow it until the system refuses, or for ever where there are two."""
    for name in ("one", "two"):
        (root / "sub" / name).symlink_to(target)

    assert refusal(root).startswith("the link sub/one")
    assert refusal(root).endswith(" leads back to a folder that it is in; remove it")


def test_a_circle_of_two_links_is_reported(root: Path, tmp_path: Path) -> None:
    """Neither leads to a folder that it lies in."""
    (tmp_path / "store" / "back").symlink_to(root / "sub")
    (root / "sub" / "store").symlink_to(tmp_path / "store")

    assert refusal(root).endswith(" leads back to a folder that it is in; remove it")


def test_two_links_to_one_folder_are_no_circle(root: Path) -> None:
    """Each is uploaded under its own name."""
    (root / "twice").symlink_to("sub")

    assert {"twice/deep/data.csv", "sub/deep/data.csv"} <= uploads.files(root).keys()


def test_what_is_no_file_is_reported(root: Path) -> None:
    """A named pipe would stop the upload for ever, a socket and a link to nowhere would end it."""
    what = root / "sub" / "odd"
    os.mkfifo(what)
    assert refusal(root) == f"{what} is neither a file nor a folder; remove it, or exclude it in .amlignore"
    what.unlink()
    with socket.socket(socket.AF_UNIX) as made, pytest.MonkeyPatch.context() as patch:
        patch.chdir(what.parent)  # the path of a socket must be short
        made.bind(what.name)
        assert refusal(root) == f"{what} is neither a file nor a folder; remove it, or exclude it in .amlignore"
    what.unlink()
    for target, reason in (("nowhere", "No such file or directory"), ("odd", "Too many levels of symbolic links")):
        what.symlink_to(target)
        assert refusal(root) == f"{what} cannot be read: {reason}; make it readable, or exclude it in .amlignore"
        what.unlink()


def test_what_cannot_be_read_is_reported(root: Path) -> None:
    """A file that opens and does not read, as on a broken disk: the memory of this process, from its start."""
    (root / "broken").symlink_to("/proc/self/mem")

    assert refusal(root) == (
        f"/proc/{os.getpid()}/mem cannot be read: Input/output error; make it readable, or exclude it in .amlignore"
    )


def test_what_is_excluded_may_be_odd(root: Path) -> None:
    """What is not uploaded needs neither to be a file nor to be readable."""
    os.mkfifo(root / "odd")
    (root / "nowhere").symlink_to("gone")
    (root / ".amlignore").write_text("odd\nnowhere\n", encoding="utf-8")

    assert not {"odd", "nowhere"} & uploads.files(root).keys()


@pytest.mark.parametrize("rules", ["*\n!deep/\n!deep/**\n", "*\n!*.bin\n", "deep\n!deep/weights.bin\n"])
def test_weights_whose_change_the_sdk_would_not_notice_are_reported(tmp_path: Path, rules: str) -> None:
    """A model is known by a hash without excluded folders: what is uploaded of them all the same would stay the old."""
    weights = tmp_path / "deep" / "weights.bin"
    weights.parent.mkdir()
    hashes = set()
    for content in ("trained", "retrained"):
        weights.write_text(content, encoding="utf-8")
        (tmp_path / ".amlignore").write_text(rules, encoding="utf-8")
        hashes.add(get_object_hash(tmp_path, get_ignore_file(tmp_path)))
    assert len(hashes) == 1
    found = uploads.files(tmp_path)
    assert "deep/weights.bin" in found

    with pytest.raises(ValueError, match=r"^\.amlignore excludes deep, .* does not notice .*; add !deep to it, or"):
        uploads.check_noticed(tmp_path, found)

    (tmp_path / ".amlignore").write_text(f"{rules}!deep\n", encoding="utf-8")
    uploads.check_noticed(tmp_path, uploads.files(tmp_path))


def test_a_link_that_is_excluded_is_followed_all_the_same(root: Path, tmp_path: Path) -> None:
    """Rules are about the place that it leads to; the SDK's hash of a model leaves it out."""
    (root / ".amlignore").write_text("linked\n/sub/\n", encoding="utf-8")
    found = uploads.files(root)
    assert found["linked/weights.bin"] == tmp_path / "store" / "weights.bin"

    with pytest.raises(ValueError, match=r"^\.amlignore excludes linked, "):
        uploads.check_noticed(root, found)


def test_rules_that_exclude_whole_folders_are_no_matter(root: Path) -> None:
    """Nothing of them is uploaded."""
    (root / "sub" / "again").unlink()
    (root / ".gitignore").write_text("/sub/\n*.log\n/checkpoints\n", encoding="utf-8")

    uploads.check_noticed(root, uploads.files(root))


@pytest.mark.parametrize("rules", [None, "*\n"])
def test_a_folder_of_nothing_is_reported(tmp_path: Path, rules: str | None) -> None:
    """The SDK refuses it, but only when the deployment is created."""
    if rules:
        (tmp_path / ".amlignore").write_text(rules, encoding="utf-8")

    assert refusal(tmp_path) == (
        "holds no file that would be uploaded; put one there, or correct its .amlignore or .gitignore"
    )


def test_an_ignore_file_that_is_none_is_reported(root: Path) -> None:
    """It would be the SDK's traceback otherwise."""
    (root / ".amlignore").write_bytes(b"\xff\xfe")

    assert refusal(root).startswith("its .amlignore cannot be used: ")


@pytest.mark.slow
def test_a_large_file_is_not_read_into_memory(tmp_path: Path) -> None:
    """Half a gigabyte of weights takes a few megabytes."""
    with (tmp_path / "weights.bin").open("wb") as file:
        file.truncate(512 * 2**20)
    tracemalloc.start()
    try:
        uploads.digest(uploads.files(tmp_path))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 8 * 2**20


@pytest.mark.slow
def test_the_sdk_is_imported_without_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a shell whose cloud nobody answers for, as the SDK leaves it to what a program starts, files can be read."""
    monkeypatch.setenv("ARM_CLOUD_METADATA_URL", "https://127.0.0.1:9/metadata")
    monkeypatch.setenv("AZUREML_CURRENT_CLOUD", "Nowhere")
    program = (
        "import os; from saferollout.uploads import import_sdk; import_sdk(); "
        "print(os.environ['AZUREML_CURRENT_CLOUD'])"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "Nowhere\n"), done.stderr

"""The record in the endpoint's tags: whole, within Azure's limits, and nobody else's business."""

import os
import pwd
import socket
import string
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saferollout.approvals.requester import Requester
from saferollout.approvals.tag import fitted
from saferollout.config.rollout import LeftCandidate, OnDrift
from saferollout.domain.composition import Composition
from saferollout.domain.endpoint import Baseline, Decision
from saferollout.domain.errors import Refused
from saferollout.rollout.begin import RECORD_TAGS
from saferollout.rollout.owner import Owner
from saferollout.rollout.record import (
    MAX_TAG_LENGTH,
    MAX_TAGS,
    PREFIX,
    OpenQuestion,
    Phase,
    Record,
    now,
    without_record,
)

REPOSITORY = Path(__file__).parents[4]

WORDS = st.text(string.ascii_letters + string.digits + "-", min_size=1, max_size=40)
TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
SECONDS = TIMES.map(lambda time: time.replace(microsecond=0))
DECISIONS = st.builds(
    Decision,
    share=st.integers(1, 100),
    decision=st.sampled_from(["approve", "reject"]),
    approver=WORDS,
    comment=st.text(max_size=10),
    at=TIMES,
    evidence=st.text(string.hexdigits, min_size=12, max_size=12),
)


def bound(record: Record) -> Record:
    """The record with approvals as a tag holds them, each of its own rollout and share."""
    own = {"rollout": record.rollout, "revision": record.revision}
    approvals = {
        share: fitted(given.model_copy(update=own | {"share": share})) for share, given in record.approvals.items()
    }
    return record.model_copy(update={"approvals": approvals})


RECORDS = st.builds(
    Record,
    rollout=WORDS,
    phase=st.sampled_from(Phase),
    owner=st.builds(Owner, name=WORDS, flow_run=WORDS, process=st.sampled_from(["", "123@456"])),
    since=SECONDS,
    candidate=WORDS,
    revision=WORDS,
    model=st.sampled_from(["", "azureml:diabetes:2"]),
    baseline=st.builds(Baseline, live=WORDS, instance_count=st.integers(1, 50)),
    share=st.integers(0, 100),
    approvals=st.dictionaries(st.integers(1, 100), DECISIONS, max_size=5),
    left_candidate=st.sampled_from(LeftCandidate),
    keep_until=st.none() | SECONDS,
    raised_to=st.integers(0, 50),
    requester=st.sampled_from([Requester(), Requester(name="ann: the first", source="the event")]),
    frozen_until=st.none() | SECONDS,
).map(lambda record: bound(record))


def record(**changes: Any) -> Record:
    """An ordinary record."""
    owner = Owner(name="ann@laptop", flow_run="run-1", process="123@456")
    since = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)
    return Record(
        rollout="r1",
        owner=owner,
        since=since,
        candidate="green",
        revision="0123456789ab",
        baseline=Baseline(live="blue", instance_count=2),
    ).model_copy(update=changes)


def decision(**changes: Any) -> Decision:
    """An ordinary decision."""
    at = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)
    decision = Decision(share=10, decision="approve", approver="ann", at=at, evidence="0123456789ab")
    return decision.model_copy(update={"rollout": "r1", "revision": "0123456789ab"} | changes)


@given(RECORDS, st.dictionaries(WORDS, st.text(max_size=256), max_size=5))
def test_a_record_comes_back_from_the_tags(written: Record, others: dict[str, str]) -> None:
    """What one process wrote the next one reads, whatever other tags there are; and those are left as they were."""
    tags = others | written.to_tags()

    assert Record.from_tags(tags) == written
    assert without_record(tags) == others


@given(RECORDS)
def test_tags_keep_to_azures_limits(written: Record) -> None:
    """No empty value, none above 256 characters, all under one prefix, and room for others among the 50."""
    tags = written.to_tags()

    assert all(0 < len(value) <= MAX_TAG_LENGTH for value in tags.values())
    assert all(name.startswith(PREFIX) for name in tags)
    assert len(tags) <= MAX_TAGS // 2


def test_a_record_and_a_hold_take_as_many_tags_as_are_kept_for_them() -> None:
    """At most, without the decisions; the page on why tags are the record names the same number."""
    texts = ("model", "environment", "deployment", "live_model", "live_environment", "live_revision")
    times = ("keep_until", "due", "frozen_until", "guarded")
    whole = record(
        **dict.fromkeys(texts, "a"),
        **dict.fromkeys(times, now()),
        **dict.fromkeys(("raised_to", "drifts", "changes"), 1),
        **dict.fromkeys(("made_of", "changed_from"), Composition(digest="0123456789ab")),
        asks=OpenQuestion(share=10, since=now()),
        instance_counts={"blue": 2},
        on_drift=OnDrift.ROLLBACK,
        requester=Requester(name="ann", source="the event"),
    )

    empty = {name for name in Record.model_fields if not getattr(whole, name)}
    assert empty == {"share", "approvals", "resumes", "skips"}
    assert len(whole.to_tags()) + 1 == RECORD_TAGS
    assert f" at most {RECORD_TAGS}," in (REPOSITORY / "docs/decisions/tags-are-the-record.md").read_text()


@given(st.text(max_size=600), st.text(min_size=1, max_size=300))
def test_a_long_comment_is_cut_and_nothing_else(comment: str, approver: str) -> None:
    """A person may write as much as they like: the tag holds what fits, and the decision itself always."""
    given_ = decision(comment=comment, approver=approver)
    tags = record(approvals={10: given_}).to_tags()

    assert len(tags[f"{PREFIX}approval-10"]) <= MAX_TAG_LENGTH
    kept = Record.from_tags(tags)
    assert kept is not None
    read = kept.approvals[10]
    assert read.model_copy(update={"comment": comment, "approver": approver}) == given_
    assert comment.startswith(read.comment.removesuffix("…"))
    assert approver.startswith(read.approver.removesuffix("…"))


def test_a_short_comment_is_kept_whole() -> None:
    """Only what does not fit is cut."""
    tags = record(approvals={10: decision(comment="looks good | to me\n“really”")}).to_tags()

    kept = Record.from_tags(tags)

    assert kept is not None
    assert kept.approvals[10].comment == "looks good | to me\n“really”"


@pytest.mark.parametrize("value", ["{", "null", '["approve"]', '{"decision": "approve"}', "\ud800"])
def test_a_damaged_approval_does_not_damage_the_record(value: str) -> None:
    """The way back needs none: what cannot be read is a claim that nothing proves, and one of no stage is none."""
    tags = record().to_tags() | {f"{PREFIX}approval-100": value, f"{PREFIX}approval-x": value}

    read = Record.from_tags(tags)

    assert read is not None
    assert {share: claim.decision for share, claim in read.approvals.items()} == {100: "reject"}
    assert read.model_copy(update={"approvals": {}}) == record()


def test_a_value_that_cannot_be_cut_is_refused() -> None:
    """A cut id would be another id."""
    with pytest.raises(Refused, match=r"^the value of tag saferollout.rollout is longer than Azure's 256 characters$"):
        record(rollout="r" * 257).to_tags()


def test_tags_without_a_record_hold_none() -> None:
    """An endpoint that never saw a rollout, and one whose owner likes our word."""
    assert Record.from_tags({}) is None
    assert Record.from_tags({"team": "a", "saferollout": "yes"}) is None


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("phase", None, "'phase' is missing"),
        ("by", None, "'by' is missing"),
        ("phase", "done", "'done' is not a valid Phase"),
        ("since", "yesterday", "Invalid isoformat string: 'yesterday'"),
        ("stage", "ten", "invalid literal for int() with base 10: 'ten'"),
        ("live-instances", "", "invalid literal for int() with base 10: ''"),
        ("on-rollback", "burn", "'burn' is not a valid LeftCandidate"),
    ],
)
def test_damaged_tags_are_refused_in_one_line(name: str, value: str | None, what: str) -> None:
    """Nobody guesses at a record that somebody edited: the message says what is wrong and how to go on."""
    tags = record().to_tags()
    tags.pop(PREFIX + name, None)
    if value is not None:
        tags[PREFIX + name] = value

    with pytest.raises(Refused) as caught:
        Record.from_tags(tags)

    message = str(caught.value)
    assert message.startswith(f"the endpoint's saferollout.* tags are damaged ({what}")
    assert message.endswith("; set the traffic by hand and remove them")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("share", "traffic"), [(0, {"blue": 100}), (10, {"blue": 90, "green": 10}), (100, {"green": 100})]
)
def test_the_record_knows_the_traffic_it_set(share: int, traffic: dict[str, int]) -> None:
    """Traffic sums to 100 at every stage and has no zeros."""
    assert record(share=share).traffic() == traffic


@pytest.mark.parametrize(
    ("phase", "unfinished"),
    [("rolling", True), ("rolling-back", True), ("undoing", True), ("keeping", False), ("retiring", False)],
)
def test_a_kept_deployment_is_no_unfinished_rollout(phase: str, unfinished: bool) -> None:
    """After the last stage the next rollout may begin, while the old deployment is still there."""
    assert record(phase=Phase(phase)).unfinished is unfinished


def test_now_has_a_time_zone() -> None:
    """Machines in different zones read the same tags."""
    assert now().utcoffset() == timedelta(0)


def test_a_live_owner_is_not_gone() -> None:
    """This very process is at work."""
    assert Owner.here("run-1", in_process=True).is_gone() is False


def test_a_dead_owner_is_gone() -> None:
    """After a kill -9 the next start sees that nobody is at work."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        _, _, place = Owner.here("run-1", in_process=True).process.split("@")
        stat = Path(f"/proc/{process.pid}/stat")
        start = int(stat.read_text().rpartition(")")[2].split()[19])
        owner = Owner(name=f"ann@{socket.gethostname()}", flow_run="run-1", process=f"{process.pid}@{start}@{place}")
        assert owner.is_gone() is False
        process.kill()

    assert owner.is_gone() is True


@pytest.mark.parametrize(("off", "gone"), [(0, False), (1, True), (-1, True), (60, True), (-3600, True)])
def test_a_recycled_pid_is_somebody_else(off: int, gone: bool) -> None:
    """A pid with another start, in the system's ticks, is another process."""
    pid, start, place = Owner.here("run-1", in_process=True).process.split("@")
    owner = Owner(name=f"ann@{socket.gethostname()}", flow_run="run-1", process=f"{pid}@{int(start) + off}@{place}")

    assert owner.is_gone() is gone


def test_an_owner_in_another_place_is_not_gone() -> None:
    """The same host name, and a pid that nobody has here, prove nothing: it may live in another container."""
    _, start, place = Owner.here("run-1", in_process=True).process.split("@")
    for process in (f"4194303@{start}@{place[::-1]}x", f"4194303@{start}"):
        assert Owner(name=f"ann@{socket.gethostname()}", flow_run="run-1", process=process).is_gone() is False


def test_a_second_container_of_the_same_host_name_is_another_place() -> None:
    """In a pid namespace of its own a process sees no end of this one, whose pid nobody has there."""
    owner = Owner.here("run-1", in_process=True).model_dump_json()
    script = f"from saferollout.rollout.record import Owner; print(Owner.model_validate_json({owner!r}).is_gone())"
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout.strip()) == (0, "False"), done.stderr


@pytest.mark.parametrize(
    ("name", "process"),
    [
        ("ann@another-machine", "1@1"),
        (f"ann@{socket.gethostname()}", ""),
        (f"ann@{socket.gethostname()}", "not a process"),
        (f"ann@{socket.gethostname()}", f"{os.getpid()}@"),
        (f"ann@{socket.gethostname()}", "-1@1"),
    ],
    ids=["another host", "deployed run", "damaged", "no start", "no pid"],
)
def test_an_owner_of_whom_nothing_is_known_is_not_gone(name: str, process: str) -> None:
    """Taking over needs certainty."""
    assert Owner(name=name, flow_run="run-1", process=process).is_gone() is False


def test_a_deployed_run_has_no_process() -> None:
    """A run that is suspended and resumed elsewhere lives in no process."""
    owner = Owner.here("run-1", in_process=False)

    assert (owner.flow_run, owner.process) == ("run-1", "")
    assert owner.name.endswith(f"@{socket.gethostname()}")


def test_a_user_without_a_name_begins_a_rollout(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container that runs as any user id, nothing knows a name."""

    def unknown(_uid: int) -> None:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)

    owner = Owner.here("run-1", in_process=True)

    assert owner.name == f"user {os.getuid()}@{socket.gethostname()}"
    assert owner.is_here()

"""The judge's plots as people and programs get them."""

import base64
import html
import json
import re
from xml.etree import ElementTree

from saferollout.domain.evidence import Evidence, GateVerdict
from saferollout.judge import Batch, Judge, Settings
from saferollout.report.pictures import gallery, markdown, with_plots

IMAGE = re.compile(r"!\[[^]]+\]\(data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)\)")
NUMBERS = re.compile(r"<pre><code>(.*?)</code></pre>")


def judged() -> Evidence:
    """Evidence of a judge that has seen three batches and may draw three comparisons."""
    judge = Judge(Settings(cut_points_ms=(50.0,), comparisons={"latency": {}, "prediction_drift": {"tolerance": 0.05}}))
    for _ in range(3):
        judge.update(Batch(10, 1, 10, 0, [40.0, 60.0], [40.0, 50.0], [0.0, 1.0], duration_s=1))
    return Evidence(gate="judge at 10%", verdict=GateVerdict.UNDECIDED, summary="", state=judge.to_dict())


def test_each_picture_comes_with_its_numbers() -> None:
    """Each plot is an image that needs no server, above the numbers behind it as JSON."""
    shown = markdown(with_plots(judged()))

    images = [ElementTree.fromstring(base64.b64decode(data)) for data in IMAGE.findall(shown)]  # noqa: S314 - our own
    numbers = [json.loads(html.unescape(data)) for data in NUMBERS.findall(shown)]
    assert len(images) == len(numbers) == 4
    assert numbers[0]["alarm"] == 20
    assert numbers[1]["candidate"]["rate"] == [0.1] * 3


def test_programs_get_the_numbers_without_the_pictures() -> None:
    """What goes into an outcome is small: neither the judge's state nor what only an eye reads."""
    bare = with_plots(judged()).for_programs()

    assert [picture.name for picture in bare.pictures] == ["e_values", "error_rate", "latency", "prediction_drift"]
    assert bare.pictures[3].numbers["mean"] == [0.5] * 3
    assert (bare.state, {picture.svg for picture in bare.pictures}) == ({}, {""})


def test_what_was_not_judged_has_no_pictures() -> None:
    """A smoke test stays as it is, and a report shows only the gates that have some."""
    smoke = Evidence(gate="smoke test", verdict=GateVerdict.PASSED, summary="")

    assert with_plots(smoke) is smoke
    assert gallery([smoke]) == ""
    assert gallery([smoke, with_plots(judged())]).startswith("## judge at 10%\n\n![")

"""The evidence as pictures, the way Prefect's UI can show them: images in markdown, with the numbers to unfold."""

import base64
import html
import json
from collections.abc import Iterable

from saferollout.domain.evidence import Evidence, Picture
from saferollout.domain.text import as_markdown, one_line
from saferollout.judge import Judge


def with_plots(evidence: Evidence) -> Evidence:
    """The evidence with pictures of how the judge came to it; as it is where no judge did."""
    if not evidence.state:
        return evidence
    plots = Judge.from_dict(evidence.state).plots()
    pictures = [Picture(name=plot.name, title=plot.title, svg=plot.svg, numbers=plot.data) for plot in plots]
    return evidence.model_copy(update={"pictures": pictures})


def markdown(evidence: Evidence) -> str:
    """The pictures one below the other, each with its numbers as JSON to unfold."""
    return "\n\n".join(map(_render, evidence.pictures))


def gallery(verdicts: Iterable[Evidence]) -> str:
    """The pictures of all gates that have some, under a heading each."""
    return "\n\n".join(f"## {found.gate}\n\n{markdown(found)}" for found in verdicts if found.pictures)


def _render(picture: Picture) -> str:
    # Prefect's UI takes links to data and inline SVG out of markdown; an image with its data is left as it is
    data = base64.b64encode(picture.svg.encode()).decode()
    numbers = html.escape(json.dumps(picture.numbers, allow_nan=False), quote=False)
    summary = f"<summary>{html.escape(one_line(picture.title))}: the numbers as JSON</summary>"
    return (
        f"![{as_markdown(picture.title)}](data:image/svg+xml;base64,{data})\n\n"
        f"<details>{summary}<pre><code>{numbers}</code></pre></details>"
    )

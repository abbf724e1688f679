"""The evidence as pictures, the way Prefect's UI can show them: images in markdown, with the numbers to download."""

import base64
import json
from collections.abc import Iterable

from saferollout.evidence import Evidence, Picture
from saferollout.judge import Judge
from saferollout.judge.plots import plots


def illustrated(evidence: Evidence) -> Evidence:
    """The evidence with pictures of how the judge came to it; as it is where no judge did."""
    if not evidence.state:
        return evidence
    drawn = plots(Judge.from_dict(evidence.state))
    pictures = [Picture(name=plot.name, title=plot.title, svg=plot.svg, numbers=plot.data) for plot in drawn]
    return evidence.model_copy(update={"pictures": pictures})


def markdown(evidence: Evidence) -> str:
    """The pictures one below the other, each with a link to its numbers as JSON."""
    return "\n\n".join(_shown(evidence.gate, picture) for picture in evidence.pictures)


def gallery(verdicts: Iterable[Evidence]) -> str:
    """The pictures of all gates that have some, under a heading each."""
    return "\n\n".join(f"## {found.gate}\n\n{markdown(found)}" for found in verdicts if found.pictures)


def _shown(gate: str, picture: Picture) -> str:
    file = f"{gate} {picture.name}.json".replace(" ", "-").replace("%", "")
    numbers = _data("application/json", json.dumps(picture.numbers, allow_nan=False))
    image = f"![{picture.title}]({_data('image/svg+xml', picture.svg)})"
    return f'{image}\n\n<a href="{numbers}" download="{file}">{picture.title.lower()}: the numbers as JSON</a>'


def _data(kind: str, text: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(text.encode()).decode()}"

"""The plots behind an approval, as Prefect keeps them among a run's artifacts."""

import re
from typing import NamedTuple
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterKey
from prefect.client.schemas.sorting import ArtifactSort

_PICTURE = re.compile(r"!\[((?:\\.|[^\]\\])*)\]\(data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)\)")


class Plot(NamedTuple):
    """A plot that the judge made, ready for the page."""

    title: str
    svg: str
    """In base64: as an image it runs no script."""


async def read_plots(client: PrefectClient, run: UUID) -> list[Plot]:
    """The plots of the run's newest judgement; none where nothing was judged yet."""
    of_run = ArtifactFilter(
        flow_run_id=ArtifactFilterFlowRunId(any_=[run]), key=ArtifactFilterKey(like_="%-plots", exists_=True)
    )
    found = await client.read_artifacts(artifact_filter=of_run, sort=ArtifactSort.CREATED_DESC, limit=1)
    return [
        Plot(re.sub(r"\\(.)", r"\1", title), svg)
        for artifact in found
        for title, svg in _PICTURE.findall(str(artifact.data))
    ]

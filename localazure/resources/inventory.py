"""What there is, for those who only look."""

from localazure.core.store import Store
from localazure.resources.deployment_documents import deployments_table, key_of
from localazure.resources.endpoint_documents import endpoints_table


class Inventory:
    """Answers what exists, now or at a moment of `time.monotonic`. Names may be in any case."""

    def __init__(self, store: Store) -> None:
        self._endpoints = endpoints_table(store)
        self._deployments = deployments_table(store)

    def has_endpoint(self, name: str, moment: float | None) -> bool:
        """Return whether there is such an endpoint."""
        return self._endpoints.get(name.lower(), moment) is not None

    def capacity(self, endpoint: str, deployment: str, moment: float | None) -> int | None:
        """Return how many instances the deployment shall have; None where there is no such deployment."""
        state = self._deployments.get(key_of(endpoint, deployment), moment)
        return state.resource.size.instances if state else None

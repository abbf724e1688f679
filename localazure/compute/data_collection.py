"""What a deployment collects: for the data collector, for its scoring script, and for the gateway."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from localazure.compute.properties import DataCollector
from localazure.gateway.xds import Payloads
from localazure.storage.assets import CONTAINER, Assets, Location
from localazure.storage.collector import PAYLOADS, Collected, Collector, Sink

LIBRARY = "azureml-ai-monitoring"
"""What scoring scripts collect with."""

CONFIG_VARIABLE = "AZUREML_MDC_CONFIG_PATH"
CONFIG_PATH = "/etc/mdc-config.json"
"""Where a container finds what the library is to do."""


@dataclass(frozen=True)
class DataCollection:
    """An open sink: what the deployment collects, and with what credentials that is sent."""

    sink: Sink
    credentials: str
    port: int
    headers: tuple[str, ...]
    """Those that are collected with a request."""

    @classmethod
    def open(cls, source: str, wanted: DataCollector, assets: Assets, collector: Collector) -> "DataCollection | None":
        """Open it for the deployment with the id `source`.

        Returns:
            It, or None where every collection is disabled.

        Raises:
            ArmError: A data asset does not exist, or does not lie where local Azure has a place for it.
        """
        sink = Sink(source, _collections(source, wanted, assets), str(wanted.rolling_rate))
        if not sink.collections:
            return None
        logging = wanted.request_logging
        headers = tuple(str(name).lower() for name in (logging.capture_headers if logging else None) or ())
        return cls(sink, collector.open(sink), collector.port, headers)

    @property
    def payloads(self) -> Payloads | None:
        """What the gateway sends."""
        names = tuple(name for name in PAYLOADS if name in self.sink.collections)
        return Payloads(self.credentials, names, self.headers) if names else None

    @property
    def digest(self) -> str:
        """What tells its files from those of another one."""
        return self.credentials[-8:]

    @property
    def has_library(self) -> bool:
        """Whether a scoring script collects something."""
        return not self.sink.collections.keys() <= set(PAYLOADS)

    def environment(self, config: Path) -> dict[str, str]:
        """Return what lets the library in a process reach the collector; it reads `config`, which `write` makes."""
        return {
            CONFIG_VARIABLE: str(config),
            "AZUREML_MDC_HOST": f"{self.credentials}@127.0.0.1",  # it makes an address of them, which may have a user
            "AZUREML_MDC_PORT": str(self.port),
        }

    def write(self, config: Path, mode: str) -> None:
        """Write what the library reads: what to collect and, as `mode`, "cloud" or "local", which is to log it only."""
        collections = {
            name: {"enabled": True, "sampleRatePercentage": round(collected.rate * 100, 6)}
            for name, collected in self.sink.collections.items()
        }
        config.write_text(json.dumps({"collections": collections, "runMode": mode}))


def check(wanted: DataCollector | None, assets: Assets) -> None:
    """Check that what a deployment shall collect has a place.

    Raises:
        ArmError: As `DataCollection.open`.
    """
    if wanted:
        _collections("", wanted, assets)


def _collections(source: str, wanted: DataCollector, assets: Assets) -> dict[str, Collected]:
    collections = {}
    for name, collection in (wanted.collections or {}).items():
        if collection.data_collection_mode == "Enabled":
            place = _place(source, name, str(collection.data_id or ""), assets)
            rate = 1.0 if collection.sampling_rate is None else float(collection.sampling_rate)
            collections[name.lower()] = Collected(place.container, place.path, rate)
    return collections


def _place(source: str, name: str, data_id: str, assets: Assets) -> Location:
    """Return where the data asset is or, without one, where Azure puts such data.

    Raises:
        ArmError: As `DataCollection.open`.
    """
    if data_id:
        place = assets.location(str(assets.data(data_id).properties.data_uri))
        return Location(place.container, place.path.rstrip("/"))
    names = re.search(r"/onlineEndpoints/([^/]+)/deployments/([^/]+)$", source)
    folder = "/".join(names.groups()) if names else ""
    return Location(CONTAINER, f"modelDataCollector/{folder}/{name}")

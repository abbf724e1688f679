"""A revision's files: code and model, brought from the storage to disk as Azure lays them out."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from localazure.arm.errors import ArmError
from localazure.core.disk import Disk, is_full
from localazure.storage.assets import Assets
from localazure.storage.blobs import Blobs

_CODE, _MODELS = "code", "azureml-models"


@dataclass(frozen=True)
class Files:
    """Where they are. `home` is the deployment's own, and stays from revision to revision."""

    folder: Path
    home: Path

    @property
    def code(self) -> Path | None:
        """The code folder, if there is code."""
        return next((self.folder / _CODE).iterdir()) if (self.folder / _CODE).is_dir() else None

    @property
    def models(self) -> Path | None:
        """What has the model folder at NAME/VERSION, if there is a model."""
        return self.folder / _MODELS if (self.folder / _MODELS).is_dir() else None

    @property
    def model_dir(self) -> Path | None:
        """The folder of the one model that was downloaded; None where there is none."""
        return next(self.models.glob("*/*")) if self.models else None


class Downloads:
    """Fetches the files of assets."""

    def __init__(self, assets: Assets, blobs: Blobs, disk: Disk) -> None:
        self._assets = assets
        self._blobs = blobs
        self._disk = disk

    def lay_out(self, folder: Path, code_id: str | None, model_id: str | None, report: Callable[[str], None]) -> None:
        """Bring code and model into `folder`.

        Raises:
            ArmError: As `fetch`.
        """
        folder.mkdir()
        if code_id:
            code = self._assets.code(code_id)
            self.fetch(code.properties.code_uri or "", folder / _CODE, "code", report)
        if model_id:
            model = self._assets.model(model_id)
            target = folder / _MODELS / model.name / model.version
            self.fetch(model.properties.model_uri or "", target, f"model {model.name}:{model.version}", report)

    def fetch(self, uri: str, target: Path, what: str, report: Callable[[str], None]) -> Path:
        """Bring the file or folder at `uri` into `target`.

        Returns:
            Its path there.

        Raises:
            ArmError: BadArgument for files that are missing or cannot be used, OutOfQuota for want of disk space.
            OSError: The disk fails otherwise.
        """
        location = self._assets.location(uri)
        try:
            self._disk.require_space()
            path = self._blobs.write_to(location.container, location.path, target)
        except FileNotFoundError as error:
            raise ArmError(400, "BadArgument", f"The files of the {what} are not in the storage: {error}") from error
        except ValueError as error:
            raise ArmError(400, "BadArgument", f"The files of the {what} cannot be used: {error}") from error
        except OSError as error:
            if not is_full(error):
                raise
            report(f"ERROR: {error}")
            message = f"The disk is too small to download the {what}: choose an instance type with more disk space."
            raise ArmError(400, "OutOfQuota", message) from error
        report(f"Downloaded the {what} to {path.relative_to(target.parent)}")
        return path

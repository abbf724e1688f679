"""What a deployment runs: Azure ML's inference server with the user's code, or the user's own image."""

import asyncio
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from localazure.arm.errors import ArmError, BadRequest, BuildFailed, NotSupported
from localazure.compute import data_collection
from localazure.compute.conda import of_mlflow_model, parse
from localazure.compute.containers import Container
from localazure.compute.data_collection import DataCollection
from localazure.compute.engine import Engine, unpassable
from localazure.compute.environment_specs import TRITON, TRITON_MODEL, Context, Image, conda_of, image_of
from localazure.compute.environments import Environments
from localazure.compute.inference_server import InferenceServer
from localazure.compute.instances import Program
from localazure.compute.properties import DeploymentProperties
from localazure.compute.zygotes import Zygotes
from localazure.storage.asset_documents import EnvironmentProperties
from localazure.storage.assets import Assets
from localazure.storage.collector import Collector
from localazure.storage.downloads import Downloads, Files

_MLFLOW_MODEL = "mlflow_model"
_MLFLOW_SCRIPT = Path(__file__).with_name("mlflow_score.py")
"""The code of an MLflow model that comes without any."""

_APP = "/var/azureml-app"
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR")
_PASSED_ON_PREFIXES = ("OPENBLAS_", "OMP_", "MKL_")


class Programs:
    """Makes programs from deployments' properties. `surroundings` are variables that all of Azure ML's servers get."""

    def __init__(
        self,
        assets: Assets,
        downloads: Downloads,
        environments: Environments,
        engine: Engine,
        zygotes: Zygotes,
        collector: Collector,
        surroundings: Mapping[str, str],
    ) -> None:
        self._assets = assets
        self._collector = collector
        self._downloads = downloads
        self._environments = environments
        self._engine = engine
        self._zygotes = zygotes
        self._surroundings = surroundings

    async def require(self, properties: DeploymentProperties) -> None:
        """Check that what the deployment wants can be run here.

        Raises:
            NotFound: An asset does not exist.
            BadRequest: The assets do not go together.
            NotSupported: They cannot be run here.
        """
        data_collection.check(properties.data_collector, self._assets)
        image = self._image(properties)
        if image is None:
            return
        if not await self._engine.answers():
            raise NotSupported(
                f"custom containers for want of a container engine ('docker' does not answer: {self._engine.silence}):"
                f" {image} brings its own server"
            )
        if isinstance(image.source, Context):
            self._assets.location(image.source.uri)
        if names := unpassable(properties.variables):
            raise NotSupported(f"line breaks, or 10,000 characters, in a container's variable {names[0]}")

    def _image(self, properties: DeploymentProperties) -> Image | None:
        """Return the image that is run as it is; None for Azure ML's own server.

        Raises:
            BadRequest: As `require`, which raises more.
        """
        model_type, environment = None, None
        if properties.model:
            model = self._assets.model(properties.model).properties
            self._assets.location(model.model_uri or "")
            model_type = model.model_type
        if properties.environment_id:
            environment = self._assets.environment(properties.environment_id).properties
        code = properties.code_configuration
        if code:
            self._assets.code(code.code_id)
        own_server = environment and environment.inference_config and environment.inference_config.model_fields_set
        if properties.model_mount_path and not own_server:
            raise BadRequest("modelMountPath is for custom containers: the environment must have an inferenceConfig.")
        return _image_of(environment, model_type, with_code=bool(code))

    def collection(self, source: str, properties: DeploymentProperties) -> DataCollection | None:
        """Return what the deployment with the id `source` collects; None if it collects nothing.

        Raises:
            ArmError: A data asset is no longer there.
        """
        wanted = properties.data_collector
        return DataCollection.open(source, wanted, self._assets, self._collector) if wanted else None

    async def prepare(
        self,
        files: Files,
        properties: DeploymentProperties,
        report: Callable[[str], None],
        collection: DataCollection | None,
    ) -> Program:
        """Build or get what runs with these files.

        Returns:
            The program.

        Raises:
            ArmError: ImageBuildFailure or BadArgument.
        """
        if image := self._image(properties):
            return await self._container(files, properties, image, report, collection)
        return await self._server(files, properties, report, collection)

    async def _server(
        self,
        files: Files,
        properties: DeploymentProperties,
        report: Callable[[str], None],
        collection: DataCollection | None,
    ) -> Program:
        app_root, script = files.code, PurePosixPath(properties.scoring_script)
        if app_root is None:
            app_root, script = files.folder / "mlflow", PurePosixPath(_MLFLOW_SCRIPT.name)
            app_root.mkdir(exist_ok=True)
            shutil.copy(_MLFLOW_SCRIPT, app_root)
        entry = (app_root / script).resolve()
        if not entry.is_relative_to(app_root.resolve()) or not entry.is_file():
            found = ", ".join(sorted(path.name for path in app_root.iterdir())) or "nothing"
            raise ArmError(
                400, "BadArgument", f"The scoring script '{script}' is not in the code folder, which has: {found}."
            )
        collects = bool(collection and collection.has_library)
        python, hint = await self._build(properties.environment_id, files.model_dir, report, collects)
        environ = _environ(python, files, self._surroundings, properties)
        if collection:
            config = files.folder / f"mdc-config.{collection.digest}.json"
            collection.write(config, "cloud")
            environ |= collection.environment(config)
        return InferenceServer(python, app_root / script, app_root, environ, self._zygotes, hint)

    async def _build(
        self, environment_id: str | None, model_dir: Path | None, report: Callable[[str], None], collects: bool
    ) -> tuple[Path, str]:
        what, hint = "model's own environment", ""
        try:
            if environment_id:
                found = self._assets.environment(environment_id)
                what = f"environment '{found.name}:{found.version}'"
                wanted = parse(conda_of(found.properties))
            else:
                wanted = of_mlflow_model(model_dir)
                if collects:  # Azure's image for such models has it
                    wanted = replace(wanted, requirements=(*wanted.requirements, data_collection.LIBRARY))
            hint = wanted.hint
            base = await self._environments.interpreter(wanted, report)
            hint = base.hint + hint
            return await self._environments.build(wanted, base, report), hint
        except BuildFailed as error:
            raise _failed(
                "ImageBuildFailure", f"The image build of the {what} failed: {error}{hint}", report
            ) from error

    async def _container(
        self,
        files: Files,
        properties: DeploymentProperties,
        image: Image,
        report: Callable[[str], None],
        collection: DataCollection | None,
    ) -> Program:
        models = properties.model_mount_path or f"{_APP}/azureml-models"
        mounts: dict[str, Path] = {}
        environment: dict[str, str] = {}
        command: tuple[str, ...] = ()
        if files.model_dir and files.models:
            mounts[models] = files.models
            model_dir = PurePosixPath(models) / files.model_dir.relative_to(files.models)
            environment["AZUREML_MODEL_DIR"] = str(model_dir)
            if image.triton:
                repository = model_dir / _triton_repository(files.model_dir).relative_to(files.model_dir)
                command = ("tritonserver", f"--model-repository={repository}")
        if files.code and properties.code_configuration:
            script = PurePosixPath(f"{_APP}/{files.code.name}") / properties.code_configuration.scoring_script
            mounts[f"{_APP}/{files.code.name}"] = files.code
            environment |= {"AML_APP_ROOT": str(script.parent), "AZUREML_ENTRY_SCRIPT": script.name}
        if collection and collection.has_library:
            report("WARNING: local Azure does not get what a script in a custom container collects: it is logged")
            mounts[data_collection.CONFIG_PATH] = files.folder / f"mdc-config.{collection.digest}.json"
            collection.write(mounts[data_collection.CONFIG_PATH], "local")
            environment[data_collection.CONFIG_VARIABLE] = data_collection.CONFIG_PATH
        for mounted in mounts.values():
            _let_read(mounted)
        reference = await self._provide(image, files, report)
        return Container(self._engine, reference, command, image, environment | properties.variables, mounts)

    async def _provide(self, image: Image, files: Files, report: Callable[[str], None]) -> str:
        if not await self._engine.answers():
            silence = f"'docker' does not answer: {self._engine.silence}"
            raise _failed("BadArgument", f"Unable to get the user container image: {silence}", report)
        try:
            if isinstance(image.source, Context):
                target = files.folder / "context"
                shutil.rmtree(target, ignore_errors=True)
                context = await asyncio.to_thread(
                    self._downloads.fetch, image.source.uri, target, "build context", report
                )
                return await self._engine.build(context, image.source.dockerfile, report)
        except BuildFailed as error:
            raise _failed("ImageBuildFailure", f"The image build failed: {error}", report) from error
        try:
            return await self._engine.pull(image.source, report)
        except BuildFailed as error:
            raise _failed("BadArgument", f"Unable to download the user container image: {error}", report) from error


def _image_of(environment: EnvironmentProperties | None, model_type: str | None, with_code: bool) -> Image | None:
    """Return the image that is run as it is; None for Azure ML's own server.

    Raises:
        BadRequest: Something is missing.
        NotSupported: It cannot be run here.
    """
    if environment and conda_of(environment) is None:
        return image_of(environment, model_type)
    if not environment and not with_code and model_type == TRITON_MODEL:
        return TRITON
    if not environment and (with_code or model_type != _MLFLOW_MODEL):
        raise BadRequest("A deployment needs an environment, unless its model is an MLflow model without code.")
    if not with_code and model_type != _MLFLOW_MODEL:
        raise NotSupported("this without code: give code_configuration, or a model of the type mlflow_model")
    return None


def _failed(code: str, message: str, report: Callable[[str], None]) -> ArmError:
    report(f"ERROR: {message}")
    return ArmError(400, code, message)


def _environ(
    python: Path, files: Files, surroundings: Mapping[str, str], properties: DeploymentProperties
) -> dict[str, str]:
    """Return a server process's environment: none of this process's secrets, and threads as for a small machine."""
    environ = {
        name: value for name, value in os.environ.items() if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)
    }
    environ.setdefault("OMP_NUM_THREADS", "1")
    environ |= {
        "PATH": f"{python.parent}{os.pathsep}{environ.get('PATH', os.defpath)}",
        "HOME": str(files.home),
        "PYTHONUNBUFFERED": "1",
        **surroundings,
        **properties.variables,
    }
    if files.model_dir:
        environ["AZUREML_MODEL_DIR"] = str(files.model_dir)
    return environ


def _triton_repository(model_dir: Path) -> Path:
    """Return the folder that has Triton's models: the model's own, or `triton` in it, as Azure's examples have it."""
    entries = list(model_dir.iterdir())
    folder = entries[0] if len(entries) == 1 else model_dir
    return folder / "triton" if (folder / "triton").is_dir() else folder


def _let_read(folder: Path) -> None:
    """A container's user may be another one than ours; nobody else gets as far as here, through the state directory."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)

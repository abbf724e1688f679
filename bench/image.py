"""Does the image work? Build it on a base of Debian's packages, and roll a model out by what is in it.

    python -m bench.image        # from the repository's root, as root; `make image-test` installs what it needs

No registry is asked: the base comes from where this machine's apt gets its packages, the rest from its pip's indexes.
Prefect's server, the setup, the pod of a Job as `deploy/kubernetes/job.yaml` has it, a worker, the answers, a guard and
the approvals page are containers of the image on the host's network. The pod begins the rollout, the worker ends it.
What they have said stays in build/image.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import httpx
import yaml

from localazure.core import leash
from localazure.core.certificates import trusting_only
from localazure.testing import LocalAzure
from saferollout.approvals.keys import PAGE_KEY
from saferollout_cli.demo import processes
from saferollout_cli.demo.processes import START_S, Process, free_port
from saferollout_cli.page.settings import APPROVERS, CLIENT_ID, CLIENT_SECRET, ISSUER
from tests.support.localazure.engine import docker, engine
from tests.support.signing import make_pem
from tests.support.stack import REPOSITORY, Stack
from tests.support.team import Team

PREFIX = "saferollout-test-"
BASE, IMAGE, RESULTS = f"{PREFIX}base", f"{PREFIX}image", f"{PREFIX}results"
DIRECTORY = REPOSITORY / "build" / "image"
DEPLOY = REPOSITORY / "deploy"
PACKAGES = "--include=ca-certificates,netbase,python3,python3-venv,tzdata"
AS_SLIM = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "locale", "man")]
ROOTS = "/etc/ssl/certs/ca-certificates.crt"
PIP = ("index-url", "extra-index-url", "find-links", "trusted-host", "proxy", "timeout", "default-timeout")
PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
LIMIT_S = 1800
END_S = 60  # what a pod has to end, as `terminationGracePeriodSeconds` says


class _Test:
    def __init__(self, started: ExitStack) -> None:
        self._started = started
        self._began = time.monotonic()

    def say(self, text: str) -> None:
        """Print it, with the time since the start."""
        print(f"{time.monotonic() - self._began:6.0f} s  {text}", flush=True)

    def command(self, name: str, *argv: str | Path, env: Mapping[str, str] = os.environ) -> None:
        """Run a command that dies with this process; what it says lies in its log."""
        path = DIRECTORY / f"{name}.log"
        on_leash = leash.command(*map(str, argv))
        with path.open("w") as log:
            popen = subprocess.Popen(on_leash, stdin=subprocess.PIPE, stdout=log, stderr=log, env=env, cwd=REPOSITORY)
            with popen as process:
                code = process.wait(LIMIT_S)
        if code:
            tail = "\n".join(path.read_text(errors="replace").splitlines()[-15:])
            sys.exit(f"{name} ended with {code}; the end of {path}:\n{tail}")

    def served(self, folder: Path) -> str:
        """The address at which this machine, and a build on it, reads the folder until the end."""
        port = free_port()
        argv = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(folder)]
        self._started.enter_context(Process(f"served-{port}", argv, dict(os.environ), DIRECTORY, REPOSITORY))
        return f"http://127.0.0.1:{port}"

    def make_base(self) -> None:
        """What the Dockerfile's own base has, as far as it needs it, of this machine's release of Debian."""
        fields = "$(ORIGIN)|$(COMPONENT)|deb $(REPO_URI) $(CODENAME) main"
        targets = output("apt-get", "indextargets", "--format", fields, "Created-By: Packages").splitlines()
        lines = [target.split("|")[2] for target in targets if target.startswith("Debian|main|")]
        sources, options, made = DIRECTORY / "sources", DIRECTORY / "apt.conf", DIRECTORY / "base.tar"
        sources.write_text("\n".join(lines) + "\n")
        options.write_text(output("apt-config", "dump", "--format", '%F "%v";%n', "Acquire"))
        argv = ["mmdebstrap", "--mode=root", "--variant=minbase", PACKAGES, *AS_SLIM, f"--aptopt={options}"]
        release = lines[0].split()[2]
        self.command("base", *argv, release, str(made), str(sources), env=os.environ | {"TMPDIR": str(DIRECTORY)})
        docker("import", made, BASE)
        made.unlink()

    def build(self) -> None:
        """The Dockerfile as it is; how this machine's pip finds packages is a secret of the build."""
        listed = output(sys.executable, "-m", "pip", "config", "list")
        found = dict(re.findall(r"^(?:global|install|:env:)\.([a-z-]+)='(.*)'$", listed, re.M))
        pip = DIRECTORY / "pip.conf"
        pip.write_text(self.pip_conf(found))
        argv = ["build", "--network=host", f"--build-arg=BASE={BASE}", f"--secret=id=pip,src={pip}"]
        argv += [f"--secret=id=ca,src={found.get('cert', ROOTS)}", f"--file={DEPLOY / 'Dockerfile'}", f"--tag={IMAGE}"]
        argv += [f"--build-arg={name}" for name in PROXIES if name in os.environ]
        env = os.environ | {"DOCKER_BUILDKIT": "1", "BUILDKIT_PROGRESS": "plain"}
        self.command("build", buildkit_client(), *argv, ".", env=env)

    def pip_conf(self, found: dict[str, str]) -> str:
        """The same for pip in the build, which sees none of this machine's folders: they are served to it."""

        def reached(word: str, name: str) -> str:
            folder = Path(word.removeprefix("file://"))
            if not folder.is_absolute():
                return word
            # an index leads to files beside it
            return self.served(folder) if name == "find-links" else f"{self.served(folder.parent)}/{folder.name}"

        kept = {name: found[name].split() for name in PIP if name in found}
        lines = [f"{name} = {' '.join(reached(word, name) for word in words)}" for name, words in kept.items()]
        return "\n".join(["[global]", "cert = /run/secrets/ca", *lines, ""])

    def container(self, name: str, env: Mapping[str, str], *argv: str, options: Sequence[str] = ()) -> Process:
        """A container of the image in the background, which goes when this process does."""
        made, env = run(name, env, options)
        return self._started.enter_context(Process(name, [*made, *argv], env, DIRECTORY, REPOSITORY))

    def once(self, name: str, env: Mapping[str, str], *argv: str, options: Sequence[str] = ()) -> None:
        """The same to its end, which must be a good one."""
        made, env = run(name, env, options)
        self.command(name, *made, *argv, env=env)
        self.say(f"{name}: {' '.join(argv)}")

    def end(self, name: str, good: int) -> None:
        """Ask a container to end, as Kubernetes does; it must by itself, and with this exit code."""
        waiting = subprocess.Popen(["docker", "wait", PREFIX + name], stdout=subprocess.PIPE, text=True)
        began = time.monotonic()
        docker("kill", "--signal=TERM", PREFIX + name)
        code, _ = waiting.communicate(timeout=END_S)
        self.say(f"{name}: ended {time.monotonic() - began:.1f} s after SIGTERM, with {code.strip()}")
        if int(code) != good:
            sys.exit(f"{name} did not end with {good}")

    def roll_out(self) -> None:
        """From the request to the promoted candidate, by nothing but the image."""
        self.once("pip", {}, "sh", "-c", 'test -z "$(pip config list)"')  # the secrets have left nothing
        azure = self._started.enter_context(LocalAzure(DIRECTORY / "azure", "--strict"))
        exports = trusting_only(azure.environ)
        root = Path(shutil.copy(exports["SSL_CERT_FILE"], DIRECTORY))
        root.chmod(0o644)  # for the container's user
        os.environ.update(exports)
        team = Team(DIRECTORY / "team")
        team.add("shop")
        workspace = team.bootstrap("shop")
        host = processes.prefect_env(DIRECTORY)
        stack = Stack(DIRECTORY, host)
        url = host["PREFECT_API_URL"]
        port = {"PREFECT_SERVER_API_PORT": host["PREFECT_SERVER_API_PORT"], "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
        server = self.container("server", port, "prefect", "server", "start")
        server.wait_until(lambda: answers(url.removesuffix("/api")), START_S)  # its UI
        env = azure.environ | {"PREFECT_API_URL": url, "PREFECT_WORKER_QUERY_SECONDS": "1"}
        env |= dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"), "/authority.pem")
        volumes = {"/authority.pem": str(root), "/configs": str(team.configs), "/results": RESULTS}
        mounts = [f"--volume={there}:{inside}{'' if there == RESULTS else ':ro'}" for inside, there in volumes.items()]
        self.once("setup", env, "saferollout", "setup", "--pull", "none", options=mounts)
        rollout = stack.api("GET", "/deployments/name/rollout/rollout")["id"]
        body = {"parameters": {"config": "shop", "by": "Eve"}}
        flow_run = str(stack.api("POST", f"/deployments/{rollout}/create_flow_run", json=body)["id"])
        as_pod, command = job()
        entry = f"--entrypoint={command[0]}"
        self.once("pod", env | {"PREFECT__FLOW_RUN_ID": flow_run}, *command[1:], options=[entry, *as_pod, *mounts])
        stack.until(flow_run, "Suspended")
        self.container("worker", env, options=[*as_pod, *mounts])
        for number in range(2):
            stack.until(flow_run, "Suspended")
            self.once(f"answer-{number}", env, "saferollout", "approve", flow_run, "--by", "Ada", options=mounts)
            stack.until(flow_run, "Completed" if number else "Suspended")
        traffic = workspace.get_endpoint("shop").traffic
        self.say(f"the rollout is completed, traffic is {traffic}")
        if traffic != {"green": 100}:
            sys.exit("the candidate is not live")
        guard = self.container("guard", env, "saferollout", "guard", "--every", "60", "--json", options=mounts)
        guard.wait_until(lambda: '"looked"' in guard.log.read_text(), START_S)
        team.publish()
        output("git", "--git-dir", str(team.repository), "update-server-info")
        self.once("git", {}, "git", "clone", "--quiet", f"{self.served(team.repository)}/")
        self.page(env, mounts)
        self.end("worker", 0)
        for name in ("guard", "page", "server"):
            self.end(name, 128 + signal.SIGTERM)  # uvicorn lets the signal act, too, once it has closed all

    def page(self, env: Mapping[str, str], mounts: list[str]) -> None:
        """The approvals page begins to serve where its provider answers."""
        issuer = self.served(DIRECTORY / "provider")
        known = DIRECTORY / "provider" / ".well-known"
        known.mkdir(parents=True)
        (known / "openid-configuration").write_text(json.dumps({"issuer": issuer}))
        settings = {ISSUER: issuer, CLIENT_ID: "page", CLIENT_SECRET: "secret", APPROVERS: "*", PAGE_KEY: make_pem()}
        port = free_port()
        command = ["saferollout", "approvals", "serve", "--port", str(port)]
        page = self.container("page", {**env, **settings}, *command, options=mounts)
        page.wait_until(lambda: answers(f"http://127.0.0.1:{port}/style.css"), START_S)
        self.say("the approvals page serves")


def output(*argv: str) -> str:
    """What a command prints."""
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout


def answers(url: str) -> bool:
    """Whether there is something at the address."""
    try:
        return httpx.get(url).status_code == 200
    except httpx.HTTPError:
        return False


def run(name: str, env: Mapping[str, str], options: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The command that makes a container of the image, and its environment, from which the container gets `env`."""
    farewell = json.dumps(["docker", "rm", "--force", PREFIX + name])
    argv = ["docker", "run", "--rm", "--network=host", f"--name={PREFIX}{name}", *options]
    return [*argv, *(f"--env={key}" for key in env), IMAGE], os.environ | {**env, leash.FAREWELL_ENV: farewell}


def job() -> tuple[list[str], list[str]]:
    """The options of a container that is what the Job's pod is, as far as this engine can say it; and its command."""
    pod = yaml.safe_load((DEPLOY / "kubernetes" / "job.yaml").read_text())["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    security, limits = container["securityContext"], container["resources"]["limits"]
    empty = {volume["name"] for volume in pod["volumes"] if "emptyDir" in volume}
    options = [f"--user={pod['securityContext']['runAsUser']}", f"--memory={limits['memory'].rstrip('i')}"]
    options += [f"--cpus={limits['cpu']}", f"--read-only={str(security['readOnlyRootFilesystem']).lower()}"]
    options += [f"--cap-drop={name}" for name in security["capabilities"]["drop"]]
    options += ["--security-opt=no-new-privileges"] if not security["allowPrivilegeEscalation"] else []
    folders = [mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] in empty]
    options += [f"--tmpfs={folder}:mode=1777" for folder in folders]
    return options, container["command"]


def buildkit_client() -> str:
    """The first Docker client on the path that builds by BuildKit: newer ones need a plugin for it."""
    env = os.environ | {"DOCKER_BUILDKIT": "1"}
    for client in (Path(folder, "docker") for folder in os.get_exec_path()):
        if client.exists():
            asked = subprocess.run([client, "build", "--help"], env=env, capture_output=True, text=True, check=False)
            if "--secret" in asked.stdout:
                return str(client)
    sys.exit("no docker here builds by BuildKit: install docker-buildx")


def main() -> int:
    """Build, roll out, and print what was measured."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # what was started is ended
    shutil.rmtree(DIRECTORY, ignore_errors=True)
    DIRECTORY.mkdir(parents=True)
    with engine(), ExitStack() as started:
        for kind, name in (("image", IMAGE), ("image", BASE), ("volume", RESULTS)):
            started.callback(subprocess.run, ["docker", kind, "rm", name], check=False, capture_output=True)
        test = _Test(started)
        test.make_base()
        test.say("the base is made")
        test.build()
        sizes = [int(docker("image", "inspect", "--format={{.Size}}", name)) // 10**6 for name in (BASE, IMAGE)]
        test.say(f"the image is built: {sizes[1]} MB, its base {sizes[0]} MB of it")
        test.roll_out()
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The page as a server."""

import asyncio
import os
import socket

import uvicorn

from saferollout.domain.errors import ConfigError, Problem
from saferollout_cli.page.provider import Provider
from saferollout_cli.page.routes import make_app
from saferollout_cli.page.settings import Settings
from saferollout_cli.terminal import say


def serve(host: str, port: int) -> None:
    """Serve the page until the process is ended.

    Raises:
        ConfigError: The environment does not say all that is needed, or the port is taken.
        AzureFailed: The provider does not answer.
    """
    shown = f"[{host}]" if ":" in host else host
    settings = Settings.read(os.environ, f"http://{shown}:{port}")
    asyncio.run(
        Provider(settings, settings.client_id, settings.client_secret).check()
    )  # not the one that serves: its connections belong to another loop
    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        problem = f"nothing can listen at {host}:{port}: {error.strerror}"
        raise ConfigError(Problem("command line", "--port", problem, "name another one")) from None
    say(f"The approvals page is at {settings.url}")
    # without its log of requests: the addresses of a sign-in hold the provider's codes
    config = uvicorn.Config(
        make_app(settings), http="h11", access_log=False, log_level="warning", server_header=False, proxy_headers=False
    )
    with listener:
        uvicorn.Server(config).run(sockets=[listener])

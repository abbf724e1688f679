"""Start Azure ML's inference server on an inherited socket: run by the deployment's own Python, not by ours.

`azmlinfsrv` binds 0.0.0.0 on the port that it is told. gunicorn under it takes sockets as systemd passes them, so it
gets one that is bound to loopback, on a port that the OS chose: no other host reaches it, and no port is taken twice.
"""

import os
import sys

_FIRST_PASSED_FD = 3  # where systemd's protocol has the sockets begin


def main() -> None:
    """Run `scoring_server.py FD [azmlinfsrv's arguments…]`."""
    sys.path.pop(0)  # this file's directory, which is none of the model's business
    serve(int(sys.argv[1]), sys.argv[2:])


def serve(fd: int, arguments: "list[str]") -> None:
    """Be `azmlinfsrv` with these arguments and the socket `fd`."""
    if fd != _FIRST_PASSED_FD:
        os.dup2(fd, _FIRST_PASSED_FD)
        os.close(fd)
    os.set_inheritable(_FIRST_PASSED_FD, True)
    os.environ["LISTEN_FDS"] = "1"
    os.environ["LISTEN_PID"] = str(os.getpid())

    from gunicorn import config  # type: ignore[import-untyped] # the deployment's own

    if "control_socket_disable" in config.make_settings():  # gunicorn 25.1 and later: one socket in $HOME, for all
        os.environ["GUNICORN_CMD_ARGS"] = os.environ.get("GUNICORN_CMD_ARGS", "") + " --no-control-socket"

    from azureml_inference_server_http.amlserver import run  # type: ignore[import-not-found] # the deployment's

    sys.argv = ["azmlinfsrv", *arguments]
    run()


if __name__ == "__main__":
    main()

"""``python -m controller``: the driver as a process."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from controller.control import ControlServer

OPENFLOW_SOCKET = "openflow.sock"
CONTROL_SOCKET = "control.sock"
_NICENESS = -15
_YOUNG, _MIDDLE, _NEVER = 2_000, 5, 10_000_000  # objects, and generations of them


def main(extend: Callable[[ControlServer], None] = lambda server: None) -> int:
    """Serve until SIGTERM or Ctrl-C; leave no socket behind.

    ``extend`` may give the control socket more operations; benchmarks do.
    """
    options = _options()
    directory = Path(options.run_dir)
    if not directory.is_dir():
        print(f"controller: {directory}: not a directory", file=sys.stderr)
        return 2
    logging.basicConfig(
        stream=sys.stderr,
        level=options.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    os.umask(0o077)
    _go_first()
    sockets = [directory / OPENFLOW_SOCKET, directory / CONTROL_SOCKET]
    try:
        _serve(sockets[0], sockets[1], extend)
    finally:
        for path in sockets:
            path.unlink(missing_ok=True)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m controller",
        description="The driver of the CT offload testbed: an OpenFlow controller "
        "(openflow.sock) that takes commands (control.sock).  The topologies "
        "start it; there is seldom a reason to start it by hand.",
    )
    parser.add_argument(
        "--run-dir", required=True, metavar="DIR", help="where its two sockets go"
    )
    parser.add_argument(
        "--log-level",
        default="info",
        choices=("debug", "info", "warning", "error"),
        help="what to write to stderr (default: %(default)s)",
    )
    return parser.parse_args()


def _go_first() -> None:
    """Run before the traffic: each moment lost here is packets more in software."""
    with suppress(PermissionError):
        os.nice(_NICENESS)


def _spare_the_old() -> None:
    """Never stand still for a collection of all there is: OVS drops copies meanwhile.

    It took 0.1 s with 10,000 connections.  They are no cycles, and need none; what dies
    young in one is still found.
    """
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _NEVER)


def _serve(
    openflow_path: Path,
    control_path: Path,
    extend: Callable[[ControlServer], None],
) -> None:
    # Here and not above: Ryu takes a while to import, and --help should not.
    from controller.openflow import ryu_compat  # isort: skip (silences eventlet)
    from controller.control import ControlServer

    ryu_compat.end_on_signals(signal.SIGTERM, signal.SIGINT)
    apps = ryu_compat.start_app("controller.app", str(openflow_path))
    server = ControlServer(apps["Driver"], str(control_path))
    extend(server)
    _spare_the_old()
    server.serve_forever()


if __name__ == "__main__":
    sys.exit(main())

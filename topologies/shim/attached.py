#!/usr/bin/python3 -IS
"""Run a command that ends when nobody can read its output any more.

Over SSH a process does not learn that who started it is gone: the connection's end of its
output is closed, and nothing else happens. This waits for either end, and has the other follow.
"""

from __future__ import annotations

import os
import select
import signal
import sys

_GRACE_MS = 5000


def main() -> int:
    """Run the command; returns its exit code, as a shell would."""
    child = os.fork()
    if not child:
        try:
            os.execvp(sys.argv[1], sys.argv[1:])
        except OSError as error:
            os.write(2, f"{sys.argv[1]}: {error.strerror}\n".encode())
            os._exit(127)
    held = os.pidfd_open(child)
    poller = select.poll()
    poller.register(held, select.POLLIN)
    poller.register(1, 0)  # a hang-up is told unasked
    if held not in {descriptor for descriptor, _ in poller.poll()}:
        poller.unregister(1)
        signal.pidfd_send_signal(held, signal.SIGTERM)
        if not poller.poll(_GRACE_MS):
            signal.pidfd_send_signal(held, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())

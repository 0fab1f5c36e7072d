"""The controller's control socket, from the side of those who ask.

One JSON object on a line there, one back, and the connection is over.
"""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from topologies.errors import ControlFailed


def is_listening(path: Path) -> bool:
    """Tell whether the controller takes connections."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


def ask(path: Path, request: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    """Send a request and return the answer; raise ControlFailed if that is no."""
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(timeout_s)
            client.connect(str(path))
            client.sendall(json.dumps(request).encode() + b"\n")
            with client.makefile("rb") as answers:
                line = answers.readline()
        answer: dict[str, Any] = json.loads(line)
    except (OSError, ValueError) as error:
        reason = str(error) if isinstance(error, OSError) else "it hung up"
        raise ControlFailed(
            f"the controller did not answer {request['op']}: {reason}"
        ) from error
    if not answer.get("ok", True):
        raise ControlFailed(str(answer.get("error", "the controller refused")))
    return answer

"""A controller that says yes: enough of the control socket to start a network on."""

from __future__ import annotations

import argparse
import json
import os
import signal
import socketserver
import sys
from pathlib import Path
from typing import Any

OURS = {"filter", "chain", "action"}


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Answer one request."""
    if request["op"] != "exec":
        return {"ok": True}
    argv, text = request["argv"], request["stdin"]
    if text is not None and "nonsense" in text:
        return {"code": 2, "stdout": "", "stderr": "Command failed -:1\n"}
    if argv[0] == "tc" and (text is not None or OURS & set(argv)):
        return {"code": 0, "stdout": f"fake {argv[1:]}\n", "stderr": ""}
    return {"system": True}


class Conversation(socketserver.StreamRequestHandler):
    """One line in, one line out."""

    def handle(self) -> None:
        """Answer, unless this was only a look whether anybody is there."""
        if line := self.rfile.readline():
            self.wfile.write(json.dumps(answer(json.loads(line))).encode() + b"\n")


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--run-dir", type=Path)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    path = parser.parse_args().run_dir / "control.sock"
    try:
        with socketserver.ThreadingUnixStreamServer(str(path), Conversation) as server:
            server.serve_forever()
    finally:
        os.unlink(path)


if __name__ == "__main__":
    main()

"""The programs that run in the virtual machines: ``python -m demo.traffic``.

    sink --port P --bytes N            source --host H --port P --bytes N --over S
      says listening                     connects            says connected
      receives                           hears a line: sends, over S seconds
      N bytes are here: says so          says sent
      end of stream: says closed         hears a line: closes

    echo --port P                      ask --host H --port P
      sends datagrams back               hears a line: sends one, says the reply's time

What they say is a JSON object on a line; what they hear is a line, of any text. Who
hears ends with its input: it does not outlive who started it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Sequence

_CHUNK = 1 << 14
_CONNECT_S = 20.0
_REPLY_S = 1.0
_ANY = "0.0.0.0"


def say(**words: object) -> None:
    """Tell the demo."""
    print(json.dumps(words), flush=True)


def hear() -> None:
    """Wait for the demo's word; end if it is gone."""
    if not sys.stdin.readline():
        raise SystemExit(0)


def sink(asked: argparse.Namespace) -> None:
    """Receive one stream."""
    with socket.create_server((_ANY, asked.port)) as server:
        say(listening=asked.port)
        stream, _ = server.accept()
    with stream:
        digest, received, began_s = hashlib.sha256(), 0, 0.0
        while chunk := stream.recv(1 << 18):
            began_s = began_s or time.monotonic()
            received += len(chunk)
            digest.update(chunk)
            if received == asked.bytes:
                took_s = time.monotonic() - began_s
                say(received=received, sha256=digest.hexdigest(), took_s=took_s)
    say(closed=received, sha256=digest.hexdigest())


def source(asked: argparse.Namespace) -> None:
    """Send one stream, in a given time or as fast as it goes."""
    address = (asked.host, asked.port)
    with socket.create_connection(address, _CONNECT_S) as stream:
        stream.settimeout(None)
        say(connected=stream.getsockname()[1])
        hear()
        digest = _send(stream, asked.bytes, asked.over)
        say(sent=asked.bytes, sha256=digest)
        hear()
        stream.shutdown(socket.SHUT_WR)
        stream.recv(1)  # the other side's end


def _send(stream: socket.socket, size: int, over_s: float) -> str:
    """Send, evenly spread over a time; returns the SHA-256 of what was sent."""
    digest = hashlib.sha256()
    content = os.urandom(_CHUNK)
    began_s = time.monotonic()
    for at in range(0, size, _CHUNK):
        chunk = content[: size - at]
        stream.sendall(chunk)
        digest.update(chunk)
        due_s = began_s + over_s * (at + len(chunk)) / size
        time.sleep(max(due_s - time.monotonic(), 0))
    return digest.hexdigest()


def echo(asked: argparse.Namespace) -> None:
    """Send every datagram back, to the end of time."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
        here.bind((_ANY, asked.port))
        say(listening=asked.port)
        while True:
            datagram, sender = here.recvfrom(2048)
            here.sendto(datagram, sender)


def ask(asked: argparse.Namespace) -> None:
    """Send a datagram at each word, and wait for the reply."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
        here.settimeout(_REPLY_S)
        here.connect((asked.host, asked.port))
        say(bound=here.getsockname()[1])
        while True:
            hear()
            began_s = time.monotonic()
            here.send(b"are you there?")
            try:
                here.recv(2048)
            except TimeoutError:
                say(lost=True)
            else:
                say(reply_ms=(time.monotonic() - began_s) * 1000)


_PROGRAMS: dict[str, Callable[[argparse.Namespace], None]] = {
    "sink": sink,
    "source": source,
    "echo": echo,
    "ask": ask,
}


def main(words: Sequence[str] | None = None) -> None:
    """Run one of the programs."""
    parser = argparse.ArgumentParser(
        prog="python -m demo.traffic",
        description="Traffic between the demo's virtual machines; the demo starts it.",
    )
    parser.add_argument("program", choices=_PROGRAMS)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--bytes", type=int, default=0)
    parser.add_argument("--over", type=float, default=0.0, metavar="S")
    asked = parser.parse_args(words)
    _PROGRAMS[asked.program](asked)


if __name__ == "__main__":
    try:
        main()
    except OSError as failure:
        say(failed=str(failure))
        sys.exit(1)

"""Connections that live for one request: connect, ask, be answered, close.

vm1 keeps a number of them going at vm2.  Each is offloaded by its third packet and
torn down by its first FIN, so this is what offload costs where it gains nothing.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator

from bench.bed import Bed, bed, until
from bench.figure import Figure, Plot, check

_AT_A_TIME = 32
_PORTS = 4  # more than one: a client's ports are few, and rest after a connection

_SERVE = """
import selectors, socket, sys
chosen = selectors.DefaultSelector()
for port in range(7100, 7100 + {ports}):
    listening = socket.create_server(("", port), backlog=1024)
    listening.setblocking(False)
    chosen.register(listening, selectors.EVENT_READ, True)
print("ready", flush=True)
answered = 0
while True:
    for key, _ in chosen.select():
        if key.data:
            client, _ = key.fileobj.accept()
            chosen.register(client, selectors.EVENT_READ, False)
            continue
        asked = key.fileobj.recv(64)
        if asked == b"how many?":
            key.fileobj.send(str(answered).encode())
        elif asked:
            key.fileobj.send(b"answer")
            answered += 1
        else:
            chosen.unregister(key.fileobj)
            key.fileobj.close()
"""
_ASK = """
import selectors, socket, sys, time
chosen = selectors.DefaultSelector()
answered = opened = 0
def begin():
    global opened
    client = socket.socket()
    client.setblocking(False)
    client.connect_ex(("10.0.0.2", 7100 + opened % {ports}))
    chosen.register(client, selectors.EVENT_WRITE)
    opened += 1
began = time.monotonic()
for _ in range({at_a_time}):
    begin()
while time.monotonic() < began + {seconds}:
    for key, event in chosen.select(1):
        if event & selectors.EVENT_WRITE:
            key.fileobj.send(b"ask")
            chosen.modify(key.fileobj, selectors.EVENT_READ)
        else:
            answered += key.fileobj.recv(64) == b"answer"
            chosen.unregister(key.fileobj)
            key.fileobj.close()
            begin()
took = time.monotonic() - began
last = socket.create_connection(("10.0.0.2", 7100))
last.send(b"how many?")
print(answered, int(last.recv(64)), took)
"""


def measure(quick: bool) -> Iterator[Figure | Plot]:
    """With offload on, and off, in turns."""
    seconds, rounds = (1.0, 1) if quick else (4.0, 3)
    with bed() as on, bed(hw_tc_offload=False) as off:
        runs = [(_run(on, seconds), _run(off, seconds)) for _ in range(rounds)]
        copies = on.ask("status")["hv1"]["copies"]
        check(copies.get("closing", 0) > 0, "no connection was torn down by its FIN")
    offloaded, software = (statistics.median(each) for each in zip(*runs, strict=True))
    ratio = offloaded / software
    yield Figure(
        "short connections, offload on",
        offloaded,
        "/s",
        f"offload off {software:,.0f}",
        ratio,
        ">= 0.7",
        ratio >= 0.7,
    )


def _run(net: Bed, seconds: float) -> float:
    """Answered connections a second, as both ends have counted them."""
    fill = {"ports": _PORTS, "at_a_time": _AT_A_TIME, "seconds": seconds}
    server = net["vm2"].popen([sys.executable, "-c", _SERVE.format(**fill)])
    try:
        until(
            lambda: bool(net["vm2"].must("ss", "-Hltn", "sport", "=", ":7103")),
            "the server",
            10.0,
        )
        said = net["vm1"].must(sys.executable, "-c", _ASK.format(**fill)).split()
    finally:
        server.kill()
        server.wait()
    answered, counted, took_s = int(said[0]), int(said[1]), float(said[2])
    check(
        0 < answered <= counted <= answered + _AT_A_TIME,
        f"vm1 had {answered} answers, vm2 gave {counted}",
    )
    return answered / took_s

#!/usr/bin/python3 -IS
"""tc, conntrack and ethtool at a hypervisor: ask the controller, do what it says.

Installed under each of those names, first on the hypervisor's PATH. It runs once a
command, so it starts fast: system Python, no site packages, no import it can do without.

The controller knows the testbed's devices; what is not about them ("system") is
done by the tool of the same name that comes next on PATH.
"""

from __future__ import annotations

import _socket
import json
import os
import signal
import sys

TYPE_CHECKING = False  # typing takes as long to import as all of the above
if TYPE_CHECKING:
    from typing import Any, NoReturn

EXIT_CODES = {"tc": 2, "conntrack": 1, "ethtool": 1}
INTERRUPTED = 130


class Failed(Exception):
    """(exit code, what to say)"""


def batch_file(argv: list[str]) -> str | None:
    """Return the file that tc would take commands from, or None.

    Options come first and may be shortened; of two that fit, tc takes -batch before
    -brief. Source: iproute2 tc/tc.c:main
    """
    words = iter(argv[1:])
    for word in words:
        if not word.startswith("-"):
            return None
        if len(word) > 1 and "-batch".startswith(word):
            return next(words, None)
        if len(word) > 1 and ("-netns".startswith(word) or "-conf".startswith(word)):
            next(words, None)
    return None


def batch_text(argv: list[str]) -> bytes | None:
    """Return the text of a ``tc -batch``, or None for any other command."""
    name = batch_file(argv) if argv[0] == "tc" else None
    if name is None:
        return None
    try:
        with open(0 if name == "-" else name, "rb", closefd=name != "-") as source:
            return source.read()
    except OSError as error:
        raise Failed(
            1, f'Cannot open file "{name}" for reading: {error.strerror}'
        ) from None


def ask(path: str, request: dict[str, object]) -> Any:
    """Send a request to the controller and return its answer."""
    client = _socket.socket(_socket.AF_UNIX)
    client.connect(path)
    line = memoryview(json.dumps(request).encode() + b"\n")
    while line:
        line = line[client.send(line, _socket.MSG_NOSIGNAL) :]
    answer = []
    while chunk := client.recv(1 << 16):
        answer.append(chunk)
        if chunk.endswith(b"\n"):
            break
    return json.loads(b"".join(answer))


def text(raw: bytes) -> str:
    """Return bytes as text that ``raw`` can be had back from."""
    return raw.decode("utf-8", "surrogateescape")


def say(descriptor: int, words: str) -> None:
    """Write all of a text, byte for byte as the tool had it."""
    rest = memoryview(words.encode("utf-8", "surrogateescape"))
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def run_system_tool(argv: list[str], stdin: bytes | None) -> NoReturn:
    """Become the system's tool of this name."""
    if stdin is not None and batch_file(argv) == "-":
        copy = os.memfd_create("batch")
        os.write(copy, stdin)
        os.lseek(copy, 0, os.SEEK_SET)
        os.dup2(copy, 0)
    for place in os.environ.get("PATH", "/usr/sbin:/usr/bin").split(":"):
        tool = os.path.join(place, argv[0])
        if os.access(tool, os.X_OK) and not os.path.samefile(tool, __file__):
            os.execv(tool, argv)
    raise Failed(127, f"{argv[0]}: the system has no {argv[0]}")


def run(argv: list[str]) -> int:
    """Do one command; returns its exit code, if it returns."""
    stdin = batch_text(argv)
    request: dict[str, object] = {
        "op": "exec",
        "hypervisor": os.environ.get("CT_OFFLOAD_HYPERVISOR", ""),
        "argv": [text(os.fsencode(word)) for word in argv],
        "stdin": None if stdin is None else text(stdin),
    }
    code = EXIT_CODES.get(argv[0], 1)
    try:
        answer = ask(os.environ.get("CT_OFFLOAD_CONTROL", ""), request)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it hung up"
        raise Failed(
            code, f"{argv[0]}: the controller does not answer: {reason}"
        ) from None
    if answer.get("system"):
        run_system_tool(argv, stdin)
    if "code" not in answer:
        raise Failed(
            code, f"{argv[0]}: {answer.get('error', 'the controller refused')}"
        )
    say(1, answer.get("stdout") or "")
    say(2, answer.get("stderr") or "")
    return int(answer["code"])


def main() -> NoReturn:
    """Do the command; leave as the tool would."""
    # As a C program: `tc ... | head` ends quietly, and the system's tool inherits it.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    argv = [os.path.basename(sys.argv[0]), *sys.argv[1:]]
    try:
        code = run(argv)
    except Failed as failure:
        code, words = failure.args
        say(2, words + "\n")
    except KeyboardInterrupt:
        code = INTERRUPTED
    # Not sys.exit: the interpreter's own end takes as long as all of the above.
    os._exit(code)


if __name__ == "__main__":
    main()

#!/usr/bin/python3 -IS
"""tc, conntrack, devlink and ethtool at a hypervisor: ask the controller, do what it says.

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

EXIT_CODES = {"tc": 2, "conntrack": 1, "devlink": 1, "ethtool": 1}
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


def system_tool(name: str) -> str:
    """Return the path of the system's tool of this name."""
    for place in os.environ.get("PATH", "/usr/sbin:/usr/bin").split(":"):
        tool = os.path.join(place, name)
        if os.access(tool, os.X_OK) and not os.path.samefile(tool, __file__):
            return tool
    raise Failed(127, f"{name}: the system has no {name}")


def run_system_tool(argv: list[str], stdin: bytes | None) -> NoReturn:
    """Become the system's tool of this name."""
    if stdin is not None and batch_file(argv) == "-":
        copy = os.memfd_create("batch")
        os.write(copy, stdin)
        os.lseek(copy, 0, os.SEEK_SET)
        os.dup2(copy, 0)
    os.execv(system_tool(argv[0]), argv)


def system_says(argv: list[str]) -> str:
    """Return what the system's tool prints; nothing if it cannot."""
    import subprocess  # takes as long as all else here, and is seldom needed

    done = subprocess.run(
        argv,
        executable=system_tool(argv[0]),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    return text(done.stdout) if done.returncode == 0 else ""


def both(system: str, ours: str) -> str:
    """Put two answers together: lines of text, or two JSON arrays in one."""
    if not ours.startswith("["):
        return system + ours
    found = [array.strip()[1:-1].strip() for array in (system, ours)]
    inside = ",".join(array for array in found if array)
    pretty = ours.startswith("[ ")
    return f"[ {inside} ]\n" if pretty and inside else f"[{inside}]\n"


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
    stdout = answer.get("stdout") or ""
    say(1, both(system_says(argv), stdout) if answer.get("beside") else stdout)
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

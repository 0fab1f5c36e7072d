"""Ask the oracle a conversation, and write down what it answers."""

from __future__ import annotations

import json
import sys

from tests.conversations import DEVICES, HERE, NAMES, Said, lines
from tests.kernel.oracle.machine import REAL_CLOCK
from tests.kernel.oracle.session import Oracle


def ask(oracle: Oracle, name: str) -> list[Said]:
    """Hold a conversation in a namespace of its own, on devices that are new."""
    space = f"tc-{name}"
    one, other = DEVICES
    link = f"link add name {one} type veth peer name {other}"
    for command in (
        f"ip netns add {space}",
        f"ip -n {space} {link}",
        *(f"ip netns exec {space} tc qdisc add dev {each} clsact" for each in DEVICES),
    ):
        ran = oracle.exec(command)
        assert ran.code == 0, (command, ran)
    answers = []
    for line in lines(name):
        ran = oracle.exec(f"ip netns exec {space} tc {line.words}")
        answers.append(Said(ran.code, ran.stdout, ran.stderr))
    oracle.exec(f"ip netns del {space}")
    return answers


def main(names: list[str]) -> None:
    """Write the answers of the conversations named, or of all."""
    with Oracle(REAL_CLOCK, lambda line: print(line, file=sys.stderr)) as oracle:
        for name in names or NAMES:
            answers = [[s.code, s.stdout, s.stderr] for s in ask(oracle, name)]
            text = ",\n".join(json.dumps(answer) for answer in answers)
            (HERE / f"{name}.json").write_text(f"[\n{text}\n]\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])

"""A whole command line of tc: its options, its object, and what comes after.

Source: iproute2 tc/tc.c
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from offload.tc.action_tables import parse_action_tables
from offload.tc.chain import parse_chain
from offload.tc.command import Actions, Batch, Command, Foreign
from offload.tc.filter import parse_filter
from offload.tc.options import Options
from offload.tc.qdisc import parse_qdisc
from offload.tc.words import Left, Refusal, Words, abbreviates, abbreviations

_OBJECTS = ("qdisc", "class", "filter", "chain", "actions", "monitor", "exec", "help")
_MEANINGS = abbreviations(_OBJECTS)

# In tc's order, which decides what an abbreviation means.  FOREIGN ones make
# the command the system's own; the PLAIN ones change nothing of our answers.
_PLAIN, _FOREIGN = "plain", "foreign"
_OPTIONS = {
    "-stats": "statistics",
    "-statistics": "statistics",
    "-details": _PLAIN,
    "-raw": _PLAIN,
    "-pretty": "pretty",
    "-graph": _PLAIN,
    "-Version": _FOREIGN,
    "-iec": _PLAIN,
    "-help": _FOREIGN,
    "-force": "force",
    "-batch": "batch",
    "-netns": _FOREIGN,
    "-Numeric": _PLAIN,
    "-names": _PLAIN,
    "-nm": _PLAIN,
    "-cf": _FOREIGN,
    "-conf": _FOREIGN,
    "-color": _PLAIN,
    "-timestamp": _PLAIN,
    "-tshort": _PLAIN,
    "-json": "json",
    "-oneline": "oneline",
    "-brief": "brief",
}

_SWITCHES: dict[str, Callable[[Options], Options]] = {
    "statistics": lambda options: replace(options, statistics=True),
    "pretty": lambda options: replace(options, pretty=True),
    "force": lambda options: replace(options, force=True),
    "json": lambda options: replace(options, json=True),
    "oneline": lambda options: replace(options, oneline=True),
    "brief": lambda options: replace(options, brief=True),
}


def _anything(device: str) -> bool:
    return True


def parse(
    argv: Sequence[str],
    ours: Callable[[str], bool] = _anything,
    device_exists: Callable[[str], bool] = _anything,
) -> Command:
    """Read ``argv``, tc's arguments without its name.

    ``ours`` says which devices are the testbed's: a command for another one is
    Foreign, whatever else it says.  ``device_exists`` is asked about the
    devices that packets are sent to.

    Raises Refusal, a TcError, for what tc refuses itself (and for ``help``),
    KernelError for what no value can express and the kernel refuses, and
    Unsupported for tc's words that the testbed does not know yet.
    """
    words = Words(argv, device_exists)
    try:
        options = _parse_options(words)
        if isinstance(options, Foreign):
            return options
        command = _parse_object(words, options, ours)
    except Left as left:
        raise Refusal("\n".join(words.said), left.exit_code) from None
    # An action that stands alone brings its error along: tc leaves differently then.
    if words.kernel_error is not None and not isinstance(command, Foreign | Actions):
        raise words.kernel_error
    return command


def _parse_options(words: Words) -> Options | Foreign:
    options = Options()
    while words.left and words.word.startswith("-"):
        meaning = _meaning(words.word)
        if meaning == _FOREIGN or meaning == "batch" and words.left == 1:
            return Foreign(words.word)
        if meaning == "batch":
            options = replace(options, batch=words.next())
        elif meaning is None:
            words.leave(f'Option "{words.word}" is unknown, try "tc -help".')
        elif meaning != _PLAIN:
            options = _SWITCHES[meaning](options)
        words.skip()
    return options


def _meaning(word: str) -> str | None:
    name = word.partition("=")[0] if word.startswith("-c") else word
    return next((m for o, m in _OPTIONS.items() if abbreviates(name, o)), None)


def _parse_object(
    words: Words, options: Options, ours: Callable[[str], bool]
) -> Command:
    if options.batch is not None:
        return Batch(options.batch, options)
    if not words.left:
        return Foreign("")
    name = _MEANINGS.get(words.word)
    if name is None:
        words.leave(f'Object "{words.word}" is unknown, try "tc help".')
    words.skip()
    if name == "filter":
        return parse_filter(words, options, ours)
    if name == "chain":
        return parse_chain(words, options, ours)
    if name == "actions":
        return parse_action_tables(words, options)
    if name == "qdisc":
        return parse_qdisc(words, options, ours)
    return Foreign(name, _device(words))


def _device(words: Words) -> str | None:
    """The device another object's command names."""
    while words.left:
        if words.word == "dev":
            words.skip()
            return words.word if words.left else None
        words.skip()
    return None

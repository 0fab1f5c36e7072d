"""tc's command language and its answers, as values.

    argv -> parse() -> a command -> validate() -> whoever runs it
                                                        |
    text <- show() / answer_show() / answer_get() <- Shown

Nothing here runs a command or keeps a filter.
"""

from offload.tc.batch import batch, failed
from offload.tc.command import (
    Batch,
    Change,
    Command,
    FilterAdd,
    FilterDel,
    FilterGet,
    FilterShow,
    Foreign,
    Hook,
    Options,
)
from offload.tc.parser import parse
from offload.tc.show import Shown, answer_get, answer_show, show
from offload.tc.stats import ActionState, Counters, Times
from offload.tc.validate import kernel_text, validate
from offload.tc.words import Refusal

__all__ = [
    "ActionState",
    "Batch",
    "Change",
    "Command",
    "Counters",
    "FilterAdd",
    "FilterDel",
    "FilterGet",
    "FilterShow",
    "Foreign",
    "Hook",
    "Options",
    "Refusal",
    "Shown",
    "Times",
    "answer_get",
    "answer_show",
    "batch",
    "failed",
    "kernel_text",
    "parse",
    "show",
    "validate",
]

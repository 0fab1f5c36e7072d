"""tc's command language and its answers, as values.

    argv -> parse() -> a command -> validate() -> whoever runs it
                                                        |
    text <- show() / answer_show() / answer_get() <- Shown

Nothing here runs a command or keeps a filter.
"""

from offload.act_api import Counters
from offload.cls_api import Change
from offload.tc.action_tables import answer_actions
from offload.tc.batch import batch, failed
from offload.tc.chain import answer_chains
from offload.tc.command import (
    Actions,
    ActionsAdd,
    ActionsNamed,
    ActionsOfKind,
    ActionsStep,
    Batch,
    ChainCommand,
    ChainEdit,
    ChainShow,
    Command,
    FilterAdd,
    FilterCommand,
    FilterDel,
    FilterGet,
    FilterShow,
    Foreign,
    Hook,
    QdiscCommand,
    QdiscEdit,
    QdiscShow,
)
from offload.tc.options import Options
from offload.tc.parser import parse
from offload.tc.qdisc import ShownQdisc, answer_qdiscs
from offload.tc.show import Shown, answer_get, answer_show, show
from offload.tc.stats import ActionState, Times
from offload.tc.validate import kernel_text, validate
from offload.tc.words import Refusal

__all__ = [
    "ActionState",
    "Actions",
    "ActionsAdd",
    "ActionsNamed",
    "ActionsOfKind",
    "ActionsStep",
    "Batch",
    "ChainCommand",
    "ChainEdit",
    "ChainShow",
    "Change",
    "Command",
    "Counters",
    "FilterAdd",
    "FilterCommand",
    "FilterDel",
    "FilterGet",
    "FilterShow",
    "Foreign",
    "Hook",
    "Options",
    "QdiscCommand",
    "QdiscEdit",
    "QdiscShow",
    "Refusal",
    "Shown",
    "ShownQdisc",
    "Times",
    "answer_actions",
    "answer_chains",
    "answer_get",
    "answer_qdiscs",
    "answer_show",
    "batch",
    "failed",
    "kernel_text",
    "parse",
    "show",
    "validate",
]

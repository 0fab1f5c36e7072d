"""``devlink resource`` and ``devlink dev param``: what the emulated card has and does.

    devlink [-j] resource show DEV
    devlink resource set DEV path ct_rules size 64
    devlink [-j] dev param show DEV
    devlink dev param set DEV name ct_insert_latency_us value 200000 cmode runtime

Model: a size holds at once; a real card would want ``devlink dev reload``.
Source: iproute2 devlink/devlink.c, devlink-resource(8), devlink-dev(8)
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from controller.card import WORK, BadSetting, Card
from controller.commands.answer import Answer, Switch
from controller.hypervisor import Hypervisor

DEVICE = "pci/0000:03:00.0"
_JSON = ("-j", "-jp", "-pj", "--json")
_USAGE = f"""\
the testbed's card takes these commands:
  devlink resource show {DEVICE}
  devlink resource set {DEVICE} path NAME size SIZE
  devlink dev param show {DEVICE}
  devlink dev param set {DEVICE} name NAME value VALUE cmode runtime"""


def run(
    hypervisor: Hypervisor,
    switch: Switch,
    argv: Sequence[str],
    stdin: str | None,
    now_s: float,
) -> Answer | None:
    """Carry out what names the card; everything else is the system's."""
    words = [word for word in argv if word not in _JSON]
    as_json = len(words) < len(argv)
    if DEVICE not in words:
        return None
    card = hypervisor.card
    try:
        match words:
            case ["resource", "show", _]:
                return Answer(stdout=_resources(card, as_json))
            case ["resource", "set", _, "path", name, "size", size]:
                _set(card, name.strip("/"), size, name not in WORK)
            case ["dev", "param", "show", _]:
                return Answer(stdout=_parameters(card, as_json))
            case ["dev", "param", "set", _, "name", name, "value", value, *mode]:
                if mode != ["cmode", "runtime"]:
                    raise BadSetting(f"{name}: its cmode is runtime")
                _set(card, name, value, name in WORK)
            case _:
                raise BadSetting(_USAGE)
    except BadSetting as bad:
        return Answer(1, stderr=f"devlink: {bad}\n")
    return Answer()


def _set(card: Card, name: str, value: str, right_command: bool) -> None:
    if not (value.isascii() and value.isdigit()):
        raise BadSetting(f"{name}: {value} is no number")
    if not right_command:
        raise BadSetting(_USAGE)
    card.set(name, int(value))


def _resources(card: Card, as_json: bool) -> str:
    if as_json:
        listed = [
            {"name": name, "size": size, "occ": occupied, "unit": "entry"}
            for name, size, occupied in card.resources()
        ]
        return json.dumps({"resources": {DEVICE: listed}}) + "\n"
    lines = [
        f"  name {name} size {size} occ {occupied} unit entry dpipe_tables none"
        for name, size, occupied in card.resources()
    ]
    return "\n".join((f"{DEVICE}:", *lines, ""))


def _parameters(card: Card, as_json: bool) -> str:
    work = asdict(card.work)
    if as_json:
        listed = [
            {
                "name": name,
                "type": "driver-specific",
                "values": [{"cmode": "runtime", "value": value}],
            }
            for name, value in work.items()
        ]
        return json.dumps({"param": {DEVICE: listed}}) + "\n"
    lines = [
        f"  name {name} type driver-specific\n    values:\n      cmode runtime value {value}"
        for name, value in work.items()
    ]
    return "\n".join((f"{DEVICE}:", *lines, ""))

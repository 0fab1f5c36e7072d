"""Control verbs: what happens after an action.

Source: iproute2 tc/tc_util.c:action_a2n, __parse_action_control
"""

from __future__ import annotations

from offload.actions import Control, Verb
from offload.tc.answer import Answer
from offload.tc.numbers import unsigned
from offload.tc.words import Words, abbreviations

MAX_CHAIN = 2**28 - 1

# In tc's order, which decides what an abbreviation means.
_VERBS = {
    "continue": Verb.CONTINUE,
    "drop": Verb.DROP,
    "shot": Verb.DROP,
    "pass": Verb.PASS,
    "ok": Verb.PASS,
    "reclassify": Verb.RECLASSIFY,
    "pipe": Verb.PIPE,
    "goto": Verb.GOTO_CHAIN,
    "jump": Verb.JUMP,
    "trap": Verb.TRAP,
}
_MEANINGS = abbreviations(_VERBS)


def verb_keyword(word: str) -> str | None:
    """The verb that ``word`` abbreviates."""
    return _MEANINGS.get(word)


def parse_control(words: Words) -> Control | None:
    """Read a verb, or stay on the word and say why it is none."""
    keyword = verb_keyword(words.word)
    if keyword is None:
        words.say(f"Bad action type {words.word}")
        return None
    return _parse_known(words, keyword)


def parse_optional_control(words: Words, default: Control) -> Control:
    """Read a verb if there is one.  Source: parse_action_control_dflt"""
    if not words.left:
        return default
    keyword = verb_keyword(words.word)
    if keyword is None:
        return default
    return _parse_known(words, keyword) or default


def _parse_known(words: Words, keyword: str) -> Control | None:
    verb = _VERBS[keyword]
    if verb is Verb.GOTO_CHAIN:
        return _parse_goto(words)
    if verb is Verb.JUMP:
        return _parse_jump(words)
    words.skip()
    return Control(verb)


def _parse_jump(words: Words) -> Control | None:
    place = words.place
    word = words.next()
    skip = unsigned(word, 32, 10)
    if skip is None or skip > MAX_CHAIN:
        words.say(f'Invalid "jump count" ({word})')
        words.place = place
        return None
    words.skip()
    return Control(Verb.JUMP, skip=skip)


def _parse_goto(words: Words) -> Control | None:
    place = words.place
    words.next()
    if not words.matches("chain"):
        words.say('"chain index" expected')
        words.place = place
        return None
    chain = unsigned(words.next(), 32, 10)
    if chain is None or chain > MAX_CHAIN:
        words.say('Illegal "chain index"')
        words.place = place
        return None
    words.skip()
    return Control(Verb.GOTO_CHAIN, chain)


def show_control(answer: Answer, control: Control, before: str) -> None:
    """Source: tc/tc_util.c:print_action_control"""
    answer.say(before)
    name = "goto" if control.verb is Verb.GOTO_CHAIN else control.verb.name.lower()
    with answer.object("control_action"):
        answer.put("type", name)
        if control.verb is Verb.GOTO_CHAIN:
            answer.put("chain", control.chain, f" chain {control.chain}")
        elif control.verb is Verb.JUMP:
            answer.put("jump", control.skip, f" {control.skip}")

"""What names a rule, and what it belongs to."""

from dataclasses import replace

from controller import fields
from controller.rules import Match, Output, Owner, Resubmit, Rule, Table

RULE = Rule(
    Table.PORT, 10, (Match(fields.IN_PORT, 1),), (Resubmit(Table.STACK),), Owner.PUNT, 7
)


def test_a_rules_place_is_its_table_priority_and_match() -> None:
    assert replace(RULE, actions=(Output(1),), owner_id=8).place == RULE.place
    assert replace(RULE, table=Table.STACK).place != RULE.place
    assert replace(RULE, priority=11).place != RULE.place
    assert replace(RULE, matches=()).place != RULE.place


def test_tables_go_on_upwards_but_for_the_loops_of_chains() -> None:
    assert [table.value for table in Table] == list(range(len(Table)))
    assert min(Table) is Table.PORT, "where OpenFlow begins"

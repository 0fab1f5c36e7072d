"""The driver: an OpenFlow pipeline equivalent to mlx5's, and what programs it.

    app.py          the Ryu app: hands each event to a switch; the clock
    control.py      the control socket: topologies attach, shims run commands
    switch.py       a connected switch: sends, asks, brings it up
    ovs.py          its daemons beside OpenFlow: appctl and vsctl
    lost.py         what happened to connections and nobody was told
    conntrack/      the conntrack behind ct(): Open vSwitch's own, or the kernel's

    hypervisor.py   one hypervisor: its devices, filters, act_ct and switch
    commands/       tc, conntrack and ethtool commands at a hypervisor
    installed.py    tc filters as they stand in both halves
    priorities.py   tc's order of filters as OpenFlow priorities
    chains.py       chain mapping: a tag for each chain that hardware knows
    counters.py     what each half did, from what rules counted
    connections.py  OVS's conntrack dump as values

    filters.py      what both halves share in turning a filter into rules
    software.py     a tc filter as rules of the software half
    hardware.py     a tc filter as rules of the hardware half, or why not
    ct_entries.py   act_ct's entries as messages: the driver's callback
    pipeline.py     tables and the rules that are always there
    fields.py       header fields and registers, declared once
    rules.py        rules, actions and messages as values
    openflow/       the only room that speaks OpenFlow

Logic appends messages to an outbox and sends nothing; the switch sends.
"""

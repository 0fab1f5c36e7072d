"""The driver: an OpenFlow pipeline equivalent to mlx5's, and what programs it.

    app.py          the Ryu app: connects switches, the control socket, timers
    hypervisor.py   one hypervisor: its devices, filters, act_ct and switch
    commands/       tc, conntrack and ethtool commands at a hypervisor
    software.py     a tc filter as rules of the software half
    hardware.py     a tc filter as rules of the hardware half, or why not
    ct_entries.py   flow-table entries as rules: hw_ct, hw_ct_nat, sw_track
    pipeline.py     tables and the rules that are always there
    fields.py       header fields and registers, declared once
    rules.py        rules, actions and messages as values
    openflow/       the only room that speaks OpenFlow

Logic appends messages to an ``Outbox`` and sends nothing; the app sends.
"""

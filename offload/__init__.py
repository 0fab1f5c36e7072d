"""The model of act_ct, the tc classifier and the tc command language.

Sans-I/O: nothing in here opens a socket, starts a thread or reads a clock.
Time comes in as ``now_s``; what is to be done comes out as values.

    tc/            the command language: words -> values -> words
    flower.py      what a filter matches
    actions.py     what a filter does
    cls_api.py     devices, chains and filters: prio, handle, order, errors
    conntrack.py   tuples and tracked packets, as conntrack shows them
    flow_table.py  nf_flow_table: entries, their actions, callbacks, aging
    profile.py     what one generation of driver and kernel does
    aging.py       connections whose entry aged
    act_ct.py      one flow table a zone, and who may enter it
    errors.py      what can go wrong, with the kernel's and tc's own words
"""

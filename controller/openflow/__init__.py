"""The only room that builds or reads OpenFlow (1.3 with OVS's extensions).

ryu_compat.py   makes Ryu 4.34 run on today's eventlet, over Unix sockets
channel.py      takes what comes by the thousand out of Ryu's stream
encode.py       messages -> bytes: rules through Ryu's classes
bundle.py       many flow-mods as one change of the tables
entries.py      a connection's rules -> bytes, from templates
decode.py       packet-ins, removals and errors -> values
conntrack.py    connections: deletion, and the packet that unmarks one
"""

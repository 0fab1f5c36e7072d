"""Lines of ``ovs-appctl dpctl/dump-conntrack -m -s``, as OVS 3.1 writes them."""

TCP_LINE = (
    "tcp,orig=(src=10.0.0.1,dst=10.0.0.2,sport=45236,dport=5201),"
    "reply=(src=10.0.0.2,dst=10.0.0.1,sport=5201,dport=45236),"
    "id=0,zone=5,status=0,timeout=29,labels=0xc0000000000000000000000000000000,"
    "protoinfo=(state_orig=FIN_WAIT_2,state_reply=FIN_WAIT_2,wscale_orig=10,"
    "wscale_reply=10,flags_orig=WINDOW_SCALE|SACK_PERM|MAXACK_SET,"
    "flags_reply=WINDOW_SCALE|SACK_PERM|MAXACK_SET)"
)
TCP_TOLD_LINE = TCP_LINE.replace("0xc0", "0x40").replace("FIN_WAIT_2", "ESTABLISHED")
UDP6_LINE = (
    "udp,orig=(src=fd00::1,dst=fd00::3,sport=40000,dport=53),"
    "reply=(src=fd00::3,dst=fd00::1,sport=53,dport=40000),"
    "id=0,status=0,timeout=86400,mark=7,labels=0x40000000000000000000000000000102"
)
ICMP_LINE = (
    "icmp,orig=(src=10.0.0.1,dst=10.0.0.3,id=77,type=8,code=0),"
    "reply=(src=10.0.0.3,dst=10.0.0.1,id=77,type=0,code=0),"
    "id=0,zone=5,status=0,timeout=30"
)
NAT_LINE = (
    "tcp,orig=(src=10.0.0.1,dst=10.0.0.3,sport=40000,dport=80),"
    "reply=(src=10.0.0.3,dst=7.7.7.7,sport=80,dport=61000),"
    "id=0,status=0,timeout=432000,"
    "protoinfo=(state_orig=ESTABLISHED,state_reply=ESTABLISHED)"
)
SCTP_LINE = (
    "132,orig=(src=10.0.0.1,dst=10.0.0.3,sport=1,dport=2),"
    "reply=(src=10.0.0.3,dst=10.0.0.1,sport=2,dport=1),id=0,status=0,timeout=30"
)

"""The cover letter, told on the terminal with real packets: ``python -m demo``.

     __main__     options, exit codes, what happens on Ctrl-C
        |
      story       the acts in their order, on one network
        |
      acts/       network, filters, tcp, udp, icmp, comparison: one module an act
        |         (or acts that need each other's connection)
      stage       what every act is given: the network, the screen, the report
        |
     +--+---------+-------------+------------+
     measure      peers         screen       report, conclusion
     counters,    programs      text, bars,  checks and phases,
     entries,     in the VMs    tables       the JSON file
     status       (traffic)

Every number comes from the running system: from ``tc -s``, ``conntrack -L``,
``ovs-ofctl dump-flows``, ``tcpdump`` and the controller's status.
"""

"""Tools as a hypervisor's user meets them: see ``shim.py``, which is run by itself."""

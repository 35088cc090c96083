"""What all parts share: records, settings, ports, errors and topics. No I/O, no framework.

Importing any of it loads neither torch, ray, faust nor rocksdict, so that an event producer or an
operator's tool pays for nothing that it does not use.
"""

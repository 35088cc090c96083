"""The language every part of everfresh speaks: records, settings, ports and errors. No I/O.

Importing this package loads neither torch, ray, faust nor rocksdict, so that an event producer
or an operator's tool pays for nothing it does not use.
"""

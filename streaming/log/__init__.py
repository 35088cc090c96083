"""Faust and aiokafka: whole fetches, the log's identity, its ends and its clock."""

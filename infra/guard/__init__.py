"""The guard of `everfresh up`: closes arms that cross a guardrail, by itself."""

"""Commands that send files of events to a loop: replay and backfill."""

"""All metrics of a run on one address, for scrapers that cannot read the files of a home."""

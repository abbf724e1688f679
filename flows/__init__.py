"""The flows, one file for each: what Prefect deploys and a run executes."""

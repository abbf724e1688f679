"""The demo: a rollout from start to end against local Azure, on this machine alone."""

"""Tests of how a model is handed over to a rollout; their Prefect server ends with them."""

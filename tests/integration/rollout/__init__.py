"""Tests of rollouts by Prefect's engine; their server ends with them."""

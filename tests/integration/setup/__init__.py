"""Tests of `saferollout setup`; their Prefect server ends with them."""

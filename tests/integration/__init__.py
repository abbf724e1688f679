"""Tests of several parts together, against the real ones."""

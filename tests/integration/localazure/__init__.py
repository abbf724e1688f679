"""Tests of local Azure, by its clients."""

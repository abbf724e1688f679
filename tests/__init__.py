"""Tests; a folder is a package where something is to end with it: pytest's scope `package`."""

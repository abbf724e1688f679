"""Envoy, the way to every deployment: its configuration and its access log."""

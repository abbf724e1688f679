"""What Azure does not have: faults on request, the recorder, the page, Prometheus."""

"""What a candidate must pass: the smoke test, and the judge with the sources that it is asked on."""

"""Where the judge's data comes from."""

"""What the judge compares: one file a comparison, named as the config and the tables name it."""

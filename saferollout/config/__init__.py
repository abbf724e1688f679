"""What a user writes: the rollout's config, the judge's, the files that they name."""

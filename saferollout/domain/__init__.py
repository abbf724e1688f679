"""Values: an endpoint's and its deployments' state, decisions, evidence, errors."""

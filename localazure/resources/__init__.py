"""What clients manage: the workspace, endpoints, deployments, and the rules for them."""

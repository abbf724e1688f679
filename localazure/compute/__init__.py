"""What runs models: instances, their programs and environments, fleets that keep and scale them."""

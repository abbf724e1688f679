"""What is known of traffic: metrics, samples, the log and its queries."""

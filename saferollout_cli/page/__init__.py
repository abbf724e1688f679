"""The approvals page: people sign in at an OpenID provider, read the evidence and answer; the page signs the answer."""

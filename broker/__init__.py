"""The contract between the services, and the plumbing they share."""

"""The tests: unit (no servers), integration (real servers), contract (one list of cases, two deployments)."""

"""One client that wants more than its share, beside ordinary people."""

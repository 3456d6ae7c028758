"""What both front doors share: how they listen, what they refuse, and each client's share of them.

Imports no eventlet: the notifier is asyncio's.
"""

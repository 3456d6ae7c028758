"""The notifier: Socket.IO rooms that hear of every review."""

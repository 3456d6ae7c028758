"""One room, many WebSocket clients: the notifier's own server, Node's socket.io, stock python-socketio."""

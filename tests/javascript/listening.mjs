// Many stock listeners in one process, by the lines that tests/chaos/listening.py describes.
import { createInterface } from "node:readline";
import { io } from "socket.io-client";

const PUSHES = ["new_review", "review_updated", "review_deleted"];
const AGAIN_MILLISECONDS = 500;
// Out of its rooms and idle for so long, a listener has given up; a dead connection it notices within 45 s.
const PATIENCE_MILLISECONDS = 50_000;

const put = (...what) => process.stdout.write(`${JSON.stringify(what)}\n`);

class Listener {
  constructor({ name, first, rooms, transports }, urls, delays) {
    Object.assign(this, { name, rooms, transports, urls, delays, place: first });
    this.last = new Map(rooms.map((room) => [room, null]));
    this.heardSinceAsked = new Set();
    this.outSince = Date.now();
    this.start();
  }

  start() {
    const [shortest, longest] = this.delays;
    const socket = io(this.urls[this.place], {
      forceNew: true,
      reconnectionDelay: 1000 * shortest,
      reconnectionDelayMax: 1000 * longest,
      ...(this.transports ? { transports: this.transports } : {}),
    });
    this.socket = socket;
    this.inside = new Set();
    socket.on("connect", () => {
      const { engine } = socket.io;
      put("connected", this.name, engine.transport.name);
      engine.once("upgrade", (transport) => put("upgraded", this.name, transport.name));
      this.inside = new Set();
      for (const room of this.rooms) this.ask(socket, room);
    });
    socket.on("disconnect", (reason) => {
      put("disconnected", this.name);
      this.inside = new Set();
      this.outSince = Date.now();
      if (reason === "io server disconnect" && socket === this.socket) socket.connect();
    });
    for (const push of PUSHES) socket.on(push, (payload) => this.hear(payload));
  }

  ask(socket, room) {
    const last = this.last.get(room);
    put("asked", this.name, room, last);
    this.heardSinceAsked.delete(room);
    const id = socket.id;
    const asked = { user_id: "guest", room_id: room, ...(last === null ? {} : { last_event_id: last }) };
    socket.emit("join_notification", asked, (answer) => {
      if ("error" in answer) {
        put("refused", this.name, room, answer.error);
        setTimeout(() => socket.connected && socket.id === id && this.ask(socket, room), AGAIN_MILLISECONDS);
        return;
      }
      const { recovered, last_event_id: position } = answer;
      // What was heard since it asked is newer than the answer.
      if (!this.heardSinceAsked.has(room) && (position !== null || !recovered)) this.last.set(room, position);
      this.inside.add(room);
      put("answered", this.name, room, recovered, position);
    });
  }

  hear({ room_id: room, event_id: event, review }) {
    this.last.set(room, event);
    this.heardSinceAsked.add(room);
    this.outSince = Date.now(); // as long as it is being told what it missed, an answer is on its way
    put("heard", this.name, room, event, review.id);
  }

  cut() {
    this.socket.io.engine?.transport?.ws?.terminate?.();
  }

  switch(place) {
    this.place = place;
    this.startAnew();
  }

  startAnew() {
    this.outSince = Date.now();
    this.socket.disconnect(); // which says "disconnected" where it was connected
    this.start();
  }

  revive() {
    const { connected, active } = this.socket;
    const inside = connected && this.inside.size === this.rooms.length;
    const connecting = active && !connected;
    if (inside || connecting) this.outSince = Date.now();
    else if (Date.now() - this.outSince > PATIENCE_MILLISECONDS) {
      put("gave up", this.name, connected ? "an answer did not come" : "it does not connect again by itself");
      this.startAnew();
    }
  }
}

const listeners = new Map();
const lines = createInterface({ input: process.stdin });
lines.once("line", (first) => {
  const spec = JSON.parse(first);
  for (const each of spec.listeners) listeners.set(each.name, new Listener(each, spec.urls, spec.delays));
  setInterval(() => listeners.forEach((listener) => listener.revive()), 1000);
  lines.on("line", (line) => {
    const [deed, name, ...more] = JSON.parse(line);
    listeners.get(name)[deed](...more);
  });
});
lines.on("close", () => {
  for (const { socket } of listeners.values()) socket.disconnect();
  process.exit(0);
});

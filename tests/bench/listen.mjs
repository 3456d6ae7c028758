// Prints, for each review heard in a room, its id and when it came in (milliseconds since 1970).
import { createRequire } from "node:module";

const { io } = createRequire(new URL("../javascript/package.json", import.meta.url))("socket.io-client");
const [url, room] = process.argv.slice(2);
const socket = io(url, { transports: ["websocket"] });
socket.on("new_review", ({ review }) =>
  console.log(review.id, performance.timeOrigin + performance.now()),
);
socket.on("connect", async () => {
  await socket.emitWithAck("join_notification", { user_id: "bench", room_id: room });
  console.log("joined");
});

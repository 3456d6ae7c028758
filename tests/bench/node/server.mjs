// Node's Socket.IO: node server.mjs PORT EVENT_FILE. Who connects is in the room; /emit?n=K sends K events back to
// back, and answers the number of each and when it began (CLOCK_MONOTONIC, ns).
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { Server } from "socket.io";

const [port, eventFile] = process.argv.slice(2);
const payload = JSON.parse(readFileSync(eventFile));
let sent = 0;

const http = createServer((request, response) => {
  const count = Number(new URL(request.url, "http://localhost").searchParams.get("n"));
  const began = [];
  for (let i = 0; i < count; i++, sent++) {
    began.push(`[${sent},${process.hrtime.bigint()}]`);
    io.to("42").emit("new_review", { ...payload, review: { ...payload.review, title: `bench-${sent}` } });
  }
  response.setHeader("Content-Type", "application/json");
  response.end(`[${began.join(",")}]`);
});
const io = new Server(http, { transports: ["websocket"], pingInterval: 120_000, pingTimeout: 60_000 });
io.on("connection", (socket) => socket.join("42"));
http.listen({ port: Number(port), host: "127.0.0.1", backlog: 1024 });

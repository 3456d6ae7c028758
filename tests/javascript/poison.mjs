// Publishes what amqplib can send and others cannot read. On its standard input a JSON of
// {url, targets: [{exchange, routingKey, properties, body}]}; a body has CASE where the name of a case is to stand.
// On its standard output a JSON line a message: [target's index, name, legible, whether the broker took it].

import amqplib from "amqplib";

const MILLISECONDS = 1780000000000;

function* cases() {
  const typed = {
    timestamp: [0, MILLISECONDS / 1000, MILLISECONDS, Number.MAX_SAFE_INTEGER],
    int8: [-128, 127],
    byte: [-128, 127],
    uint8: [255],
    int16: [-32768],
    uint16: [65535],
    int32: [-(2 ** 31)],
    int: [2 ** 31 - 1],
    uint32: [2 ** 32 - 1],
    long: [2 ** 53 - 1],
    int64: [-(2 ** 53)],
    float: [1.5, NaN, Infinity],
    double: [1e308, NaN, -Infinity],
    decimal: [{ digits: 12345, places: 2 }, { digits: 1, places: 255 }],
  };
  for (const [type, values] of Object.entries(typed))
    for (const value of values) {
      const legible = !(type === "timestamp" && value > 253402300799);
      yield [`header of ${type} ${JSON.stringify(value)}`, { headers: { sent: { "!": type, value } } }, legible];
    }
  const deep = (depth) => (depth ? { a: deep(depth - 1) } : 1);
  const plain = {
    now: Date.now(),
    half: 0.5,
    text: "🎬".repeat(50),
    surrogate: "\ud800",
    buffer: Buffer.from([0xff, 0x00, 0xfe]),
    nothing: null,
    array: [1, "two", null, [3], { four: 4 }],
    table: deep(20),
  };
  for (const [name, value] of Object.entries(plain)) yield [`header: ${name}`, { headers: { sent: value } }, true];
  yield ["header: 1,500 tables deep", { headers: { sent: deep(1500) } }, false];
  yield ["header: a time in a table in an array", { headers: { sent: [{ at: { "!": "timestamp", value: MILLISECONDS } }] } }, false];
  yield ["header named by 255 characters", { headers: { ["x".repeat(255)]: 1 } }, true];
  for (const property of ["contentType", "contentEncoding", "correlationId", "messageId", "type", "appId"])
    for (const value of ["", "x".repeat(255), "\u0000", "\ud800", "\u202e", "é".repeat(127)])
      yield [`${property}: ${JSON.stringify(value).slice(0, 12)} (${value.length})`, { [property]: value }, true];
  for (const timestamp of [0, MILLISECONDS, Number.MAX_SAFE_INTEGER]) yield [`timestamp: ${timestamp}`, { timestamp }, true];
  yield ["persistent, priority 255", { persistent: true, priority: 255 }, true];
}

const input = [];
for await (const chunk of process.stdin) input.push(chunk);
const { url, targets } = JSON.parse(Buffer.concat(input));

async function open() {
  const connection = await amqplib.connect(url);
  connection.on("error", () => {});
  const channel = await connection.createConfirmChannel();
  channel.on("error", () => {});
  for (const emitter of [connection, channel]) emitter.setMaxListeners(0);
  return { connection, channel };
}

// One after the other: over a message that the broker refuses it closes the channel, or the connection.
const publish = ({ connection, channel }, target, body, options) =>
  new Promise((resolve, reject) => {
    connection.once("close", () => reject(new Error("closed")));
    channel.once("close", () => reject(new Error("closed")));
    channel.publish(target.exchange, target.routingKey, body, options, (error) => (error ? reject(error) : resolve()));
  });

let broker = await open();
for (const [index, target] of targets.entries())
  for (const [name, options, legible] of cases()) {
    const body = Buffer.from(target.body.replace("CASE", `amqplib: ${name}`.replace(/["\\]/g, "'")));
    let taken = true;
    try {
      await publish(broker, target, body, { ...target.properties, ...options });
    } catch {
      taken = false;
      broker.connection.close().catch(() => {});
      broker = await open();
    }
    process.stdout.write(JSON.stringify([index, name, legible, taken]) + "\n");
  }
await broker.connection.close();

// `consuming.mjs QUEUE`: amqplib; prints the envelope of every event, one a line.
// `consuming.mjs QUEUE --recognise`: prints what the SDK of CloudEvents makes of the message instead.
import amqp from "amqplib";
import { HTTP } from "cloudevents";

const [queue, recognise] = process.argv.slice(2);
const connection = await amqp.connect(process.env.AMQP_URI);
const channel = await connection.createChannel();
await channel.assertQueue(queue, { autoDelete: true, durable: false });
for (const exchange of ["movies.events", "auth.events"]) {
  await channel.bindQueue(queue, exchange, "#");
}
await channel.consume(queue, (message) => {
  const body = message.content.toString();
  const { headers, contentType } = message.properties;
  const heard = recognise
    ? HTTP.toEvent({ headers: { ...headers, "content-type": contentType }, body })
    : JSON.parse(body);
  console.log(JSON.stringify(heard));
  channel.ack(message);
});

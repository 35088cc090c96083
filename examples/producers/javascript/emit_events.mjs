// Emit three events to a running Kafka: `npm install`, then `node emit_events.mjs HOST:PORT [TOPIC]`.
import { randomUUID } from "node:crypto";
import { Kafka, Partitioners, logLevel } from "kafkajs";

const [servers, topic = "everfresh.events"] = process.argv.slice(2);
if (!servers) {
  console.error("usage: node emit_events.mjs HOST:PORT [TOPIC]");
  process.exit(2);
}

// What `everfresh contract events` describes. The key is the user id as text.
function event(user_id, item_id, type) {
  const value = { id: randomUUID(), type, time: Date.now(), user_id, item_id };
  return { key: String(user_id), value: JSON.stringify(value) };
}

const kafka = new Kafka({ clientId: "shop", brokers: servers.split(","), logLevel: logLevel.ERROR });
const producer = kafka.producer({
  // Kafka's murmur2, so that all events of a user are in one partition.
  createPartitioner: Partitioners.DefaultPartitioner,
  idempotent: true,
});
await producer.connect();
await producer.send({
  topic,
  acks: -1,
  messages: [
    event("ada", "book-1", "view"),
    event("ada", "book-2", "view"),
    event(42, "book-2", "like"),
  ],
});
await producer.disconnect();
console.log("3 events are in the log");

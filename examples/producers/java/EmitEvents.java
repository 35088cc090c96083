// Emit three events to a running Kafka, with org.apache.kafka:kafka-clients on the class path:
// `java -cp 'LIBRARIES/*' EmitEvents.java HOST:PORT [TOPIC]` (Java 17 or later).

import java.util.List;
import java.util.Properties;
import java.util.UUID;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.StringSerializer;

public class EmitEvents {
  /** What `everfresh contract events` describes. The key is the user id as text. */
  static ProducerRecord<String, String> event(
      String topic, Object userId, String itemId, String type) {
    String user = userId instanceof Number ? userId.toString() : "\"" + userId + "\"";
    String value = """
        {"id":"%s","type":"%s","time":%d,"user_id":%s,"item_id":"%s"}"""
        .formatted(UUID.randomUUID(), type, System.currentTimeMillis(), user, itemId);
    return new ProducerRecord<>(topic, String.valueOf(userId), value);
  }

  public static void main(String[] arguments) throws Exception {
    if (arguments.length == 0) {
      System.err.println("usage: EmitEvents.java HOST:PORT [TOPIC]");
      System.exit(2);
    }
    String topic = arguments.length > 1 ? arguments[1] : "everfresh.events";
    Properties settings = new Properties();
    settings.put("bootstrap.servers", arguments[0]);
    // The partitioner stays as it is: murmur2 of the key, so that a user has one partition.
    try (var producer =
        new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
      List<Future<RecordMetadata>> sent =
          List.of(
              producer.send(event(topic, "ada", "book-1", "view")),
              producer.send(event(topic, "ada", "book-2", "view")),
              producer.send(event(topic, 42, "book-2", "like")));
      for (Future<RecordMetadata> each : sent) {
        each.get(); // throws where the event did not reach the log
      }
    }
    System.out.println("3 events are in the log");
  }
}

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.state.KeyValueStore;

/**
 * Kafka Streams: the last 200 events of each user in a table, in RocksDB, with its changelog.
 *
 * <p>{@code BOOTSTRAP TOPIC STATE_DIR GUARANTEE CACHE_BYTES}; the rest is Kafka Streams' defaults.
 * JSON is read by Jackson's streaming parser and entries are the same compact bytes as those of
 * the other peers (see {@code benchmarks/peers/job.py}): both are kind to it.
 */
public final class LastEvents {
  private static final int LENGTH = 200;
  private static final int ENTRY = 17;
  private static final long FIRST_PROBE_USER = 1_000_000_000L;
  private static final JsonFactory JSON = new JsonFactory();

  private static volatile long events; // written by the one stream thread alone
  private static final ConcurrentLinkedQueue<Long> AGES = new ConcurrentLinkedQueue<>();

  public static void main(String[] args) throws InterruptedException {
    Properties settings = new Properties();
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, args[0]);
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, "peer-" + args[1] + "-" + args[3] + "-" + args[4]);
    settings.put(StreamsConfig.STATE_DIR_CONFIG, args[2]);
    settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, args[3]);
    settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, args[4]);

    Serde<byte[]> bytes = Serdes.ByteArray();
    StreamsBuilder builder = new StreamsBuilder();
    builder.stream(args[1], Consumed.with(bytes, bytes))
        .groupByKey(Grouped.with(bytes, bytes))
        .aggregate(
            () -> new byte[0],
            (user, event, last) -> fold(event, last),
            Materialized.<byte[], byte[], KeyValueStore<Bytes, byte[]>>as("last")
                .withKeySerde(bytes)
                .withValueSerde(bytes));
    KafkaStreams streams = new KafkaStreams(builder.build(), settings);
    CountDownLatch ended = new CountDownLatch(1);
    streams.setStateListener(
        (state, before) -> {
          if (state.hasCompletedShutdown()) {
            ended.countDown();
          }
        });
    streams.setUncaughtExceptionHandler(
        error -> {
          error.printStackTrace();
          return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
    Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
    streams.start();
    Thread printer = new Thread(LastEvents::print);
    printer.setDaemon(true);
    printer.start();
    ended.await();
  }

  private static byte[] fold(byte[] event, byte[] last) {
    long user = 0;
    long item = 0;
    long time = 0;
    try (JsonParser parser = JSON.createParser(event)) {
      parser.nextToken();
      while (parser.nextToken() == JsonToken.FIELD_NAME) {
        String name = parser.currentName();
        parser.nextToken();
        switch (name) {
          case "user_id" -> user = parser.getLongValue();
          case "item_id" -> item = parser.getLongValue();
          case "time" -> time = parser.getLongValue();
          default -> parser.skipChildren();
        }
      }
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
    events++;
    if (user >= FIRST_PROBE_USER) {
      AGES.add(System.currentTimeMillis() - time);
    }
    int kept = Math.min(last.length, (LENGTH - 1) * ENTRY);
    ByteBuffer next = ByteBuffer.allocate(kept + ENTRY).order(ByteOrder.LITTLE_ENDIAN);
    next.put(last, last.length - kept, kept).putLong(item).putLong(time).put((byte) 0);
    return next.array();
  }

  private static void print() {
    try {
      while (true) {
        List<Long> ages = new ArrayList<>();
        for (Long age = AGES.poll(); age != null; age = AGES.poll()) {
          ages.add(age);
        }
        System.out.println("{\"events\": " + events + ", \"ages_ms\": " + ages + "}");
        Thread.sleep(250);
      }
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
    }
  }
}

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeType;
import com.fasterxml.jackson.databind.node.LongNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.databind.node.TextNode;
import java.io.Writer;
import java.lang.reflect.Method;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.MessageUtil;

/** For every message and version: random values as JSON, and the bytes that Kafka makes of them. */
final class MessageFixtures {
    private static final long SEED = 20240914;
    private static final int SAMPLES = 6;
    private static final ObjectMapper MAPPER = new ObjectMapper().configure(JsonParser.Feature.ALLOW_COMMENTS, true);
    private static final String[] PACKAGES = {
        "org.apache.kafka.common.message", "org.apache.kafka.common.metadata", "org.apache.kafka.coordinator.group.generated",
        "org.apache.kafka.coordinator.transaction.generated", "org.apache.kafka.coordinator.share.generated",
        "org.apache.kafka.server.log.remote.metadata.storage.generated", "org.apache.kafka.raft.generated",
    };

    private MessageFixtures() { }

    /** One line per sample: [name, version, bytes in base64, values]. */
    static void write(Path definitions, Writer out) throws Exception {
        Random random = new Random(SEED);
        for (JsonNode definition : readDefinitions(definitions)) {
            String versions = definition.get("validVersions").asText();
            for (short version = Ranges.low(versions); version <= Ranges.high(versions); version++) {
                for (int sample = 0; sample < SAMPLES; sample++) {
                    ObjectNode values = new RandomMessage(random, definition, version, sample == 0).next();
                    writeLine(out, definition, version, values);
                }
            }
        }
    }

    private static void writeLine(Writer out, JsonNode definition, short version, ObjectNode values) throws Exception {
        String name = definition.get("name").asText();
        Class<?> messageClass = findClass(definition);
        Class<?> converter = Class.forName(messageClass.getName() + "JsonConverter");
        Method read = converter.getMethod("read", JsonNode.class, short.class);
        Message message = (Message) read.invoke(null, values, version);
        ByteBuffer buffer = MessageUtil.toByteBufferAccessor(message, version).buffer();
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        Message again = (Message) messageClass.getConstructor().newInstance();
        again.read(new ByteBufferAccessor(ByteBuffer.wrap(bytes)), version);
        if (!again.equals(message)) throw new IllegalStateException(name + " version " + version + " does not read back");
        ArrayNode line = MAPPER.createArrayNode().add(name).add(version).add(bytes);
        line.add(withTextForLongs(values));
        out.write(MAPPER.writeValueAsString(line));
        out.write('\n');
    }

    private static List<JsonNode> readDefinitions(Path directory) throws Exception {
        TreeMap<String, JsonNode> definitions = new TreeMap<>();
        try (Stream<Path> files = Files.walk(directory)) {
            for (Path file : (Iterable<Path>) files::iterator) {
                String fileName = file.getFileName().toString();
                if (!fileName.endsWith(".json") || fileName.startsWith("Remote")) continue;
                JsonNode definition = MAPPER.readTree(file.toFile());
                if (definition.get("validVersions").asText().equals("none")) continue;
                definitions.put(definition.get("name").asText(), definition);
            }
        }
        return new ArrayList<>(definitions.values());
    }

    private static Class<?> findClass(JsonNode definition) throws ClassNotFoundException {
        String type = definition.get("type").asText();
        boolean suffix = type.equals("request") || type.equals("response") || type.equals("header");
        String name = definition.get("name").asText() + (suffix ? "Data" : "");
        for (String candidate : PACKAGES) {
            try {
                return Class.forName(candidate + "." + name);
            } catch (ClassNotFoundException e) {
                // the next package
            }
        }
        throw new ClassNotFoundException(name);
    }

    /** JSON numbers do not hold 64 bits in every language. */
    private static JsonNode withTextForLongs(JsonNode node) {
        if (node instanceof LongNode) return TextNode.valueOf(node.asText());
        if (node.getNodeType() == JsonNodeType.ARRAY) {
            ArrayNode array = MAPPER.createArrayNode();
            node.forEach(element -> array.add(withTextForLongs(element)));
            return array;
        }
        if (node.getNodeType() != JsonNodeType.OBJECT) return node;
        ObjectNode object = MAPPER.createObjectNode();
        node.properties().forEach(entry -> object.set(entry.getKey(), withTextForLongs(entry.getValue())));
        return object;
    }
}

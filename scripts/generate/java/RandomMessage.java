import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.HashMap;
import java.util.Map;
import java.util.Random;
import org.apache.kafka.common.Uuid;

/** Makes random values for a message definition, in the JSON form that Kafka's JsonConverter classes read. */
final class RandomMessage {
    private static final JsonNodeFactory NODES = JsonNodeFactory.instance;
    private static final String[] WORDS = {
        "", "a", "topic", "group-1", "localhost", "Straße", "日本語", "emoji 😀", "exactly sixteen.", "more than sixteen bytes of text",
    };

    private final Random random;
    private final JsonNode definition;
    private final short version;
    /** True: every field of the version is set and nothing is null or empty. */
    private final boolean full;
    private final Map<String, JsonNode> commonStructs = new HashMap<>();

    RandomMessage(Random random, JsonNode definition, short version, boolean full) {
        this.random = random;
        this.definition = definition;
        this.version = version;
        this.full = full;
        definition.path("commonStructs").forEach(struct -> commonStructs.put(struct.get("name").asText(), struct.get("fields")));
    }

    ObjectNode next() {
        return struct(definition.get("fields"));
    }

    private ObjectNode struct(JsonNode fields) {
        ObjectNode node = NODES.objectNode();
        for (JsonNode field : fields) {
            String versions = field.path("versions").asText(field.path("taggedVersions").asText());
            if (!Ranges.contains(versions, version)) continue;
            boolean tagged = Ranges.contains(field.path("taggedVersions").asText("none"), version);
            if (tagged && !full && random.nextBoolean()) continue;
            String name = field.get("name").asText();
            node.set(Character.toLowerCase(name.charAt(0)) + name.substring(1), value(field));
        }
        return node;
    }

    private JsonNode value(JsonNode field) {
        boolean nullable = Ranges.contains(field.path("nullableVersions").asText("none"), version);
        if (nullable && !full && random.nextInt(4) == 0) return NODES.nullNode();
        String type = field.get("type").asText();
        if (!type.startsWith("[]")) return single(type, field);
        ArrayNode array = NODES.arrayNode();
        String element = type.substring(2);
        int size = full ? 1 + random.nextInt(2) : random.nextInt(3);
        // Lengths that take two bytes as a varint.
        if (element.equals("int32") && random.nextInt(10) == 0) size = 150;
        for (int i = 0; i < size; i++) array.add(single(element, field));
        return array;
    }

    private JsonNode single(String type, JsonNode field) {
        switch (type) {
            case "bool": return NODES.booleanNode(full || random.nextBoolean());
            case "int8": return NODES.numberNode((byte) integer(8));
            case "int16": return NODES.numberNode((short) integer(16));
            case "uint16": return NODES.numberNode((int) (integer(16) & 0xffff));
            case "int32": return NODES.numberNode((int) integer(32));
            case "uint32": return NODES.numberNode(integer(32) & 0xffffffffL);
            case "int64": return NODES.numberNode(integer(64));
            case "float64": return NODES.numberNode(random.nextInt(3) == 0 ? 0.5 : random.nextGaussian() * 1e9);
            case "string": return NODES.textNode(text());
            case "uuid": return NODES.textNode(uuid().toString());
            case "bytes":
            case "records": return NODES.binaryNode(bytes());
            default: return struct(field.has("fields") ? field.get("fields") : commonStructs.get(type));
        }
    }

    private long integer(int bits) {
        long max = bits == 64 ? Long.MAX_VALUE : (1L << (bits - 1)) - 1;
        switch (random.nextInt(6)) {
            case 0: return max;
            case 1: return -max - 1;
            case 2: return full ? 1 : 0;
            case 3: return full ? 2 : -1;
            case 4: return random.nextInt(100) + 1;
            default: return random.nextLong();
        }
    }

    private String text() {
        if (random.nextInt(40) == 0) return "x".repeat(200 + random.nextInt(20));
        return WORDS[full ? 1 + random.nextInt(WORDS.length - 1) : random.nextInt(WORDS.length)];
    }

    private Uuid uuid() {
        return !full && random.nextInt(3) == 0 ? Uuid.ZERO_UUID : new Uuid(random.nextLong(), random.nextLong());
    }

    private byte[] bytes() {
        byte[] bytes = new byte[random.nextInt(30) == 0 ? 1500 : (full ? 1 : 0) + random.nextInt(12)];
        random.nextBytes(bytes);
        return bytes;
    }
}

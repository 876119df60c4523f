import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.security.MessageDigest;

/** The content of test records as ../harness/payload.ts defines it. */
final class Payload {
  private static final int BLOCK_BYTES = 1 << 20;
  private static final byte[] DOUBLED_NOISE = doubledNoise();

  private Payload() {}

  private static byte[] doubledNoise() {
    byte[] doubled = new byte[2 * BLOCK_BYTES];
    ByteBuffer words = ByteBuffer.wrap(doubled).order(ByteOrder.LITTLE_ENDIAN);
    int state = 0x9e3779b9;
    for (int i = 0; i < BLOCK_BYTES / 4; i++) {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      words.putInt(state);
    }
    System.arraycopy(doubled, 0, doubled, BLOCK_BYTES, BLOCK_BYTES);
    return doubled;
  }

  static byte[] make(int size, int seed) {
    if (size < 0) return null;
    int period = seed % 4 == 3 ? 64 : BLOCK_BYTES;
    int start = (int) ((long) seed * 4099 % BLOCK_BYTES);
    byte[] value = new byte[size];
    for (int at = 0; at < size; at += period)
      System.arraycopy(DOUBLED_NOISE, start, value, at, Math.min(period, size - at));
    return value;
  }

  static String digest(byte[] value) throws Exception {
    byte[] sum = MessageDigest.getInstance("SHA-256").digest(value);
    StringBuilder text = new StringBuilder();
    for (int i = 0; i < 8; i++) text.append(String.format("%02x", sum[i]));
    return text.toString();
  }
}

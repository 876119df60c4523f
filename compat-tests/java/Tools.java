import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.kafka.common.utils.Exit;

/** Runs the main methods of Kafka's command-line tools in this process, so that they need not each start a virtual machine. */
final class Tools {
  private static final OutputStream NOWHERE = OutputStream.nullOutputStream();
  private static volatile OutputStream current = NOWHERE;

  private Tools() {}

  /** What a tool's call of exit turns into. */
  private static final class Ended extends RuntimeException {
    Ended(int code) {
      super("exit " + code, null, false, false);
    }
  }

  record Result(int exitCode, String output) {}

  /** Some tools keep the first System.out that they see, so it stays one object for ever. */
  static void captureOutput() {
    PrintStream stable = new PrintStream(new OutputStream() {
      @Override
      public void write(int b) throws java.io.IOException {
        current.write(b);
      }

      @Override
      public void write(byte[] bytes, int offset, int length) throws java.io.IOException {
        current.write(bytes, offset, length);
      }
    }, true, StandardCharsets.UTF_8);
    System.setOut(stable);
  }

  static Result run(String mainClass, String[] args, String input, long timeoutMs) throws Exception {
    ByteArrayOutputStream output = new ByteArrayOutputStream();
    AtomicInteger exitCode = new AtomicInteger(-1);
    Exit.setExitProcedure((code, message) -> {
      exitCode.compareAndSet(-1, code); // a tool may catch what ends it, and exit again
      throw new Ended(code);
    });
    InputStream stdin = System.in;
    System.setIn(new ByteArrayInputStream(input.getBytes(StandardCharsets.UTF_8)));
    PrintStream stderr = System.err;
    current = output;
    System.setErr(System.out);
    Thread thread = new Thread(() -> runMain(mainClass, args, exitCode));
    try {
      thread.start();
      thread.join(timeoutMs);
      if (thread.isAlive()) {
        thread.interrupt();
        thread.join(TimeUnit.SECONDS.toMillis(5));
        throw new IllegalStateException(mainClass + " did not end; its output: " + output);
      }
    } finally {
      current = NOWHERE;
      System.setErr(stderr);
      System.setIn(stdin);
    }
    return new Result(Math.max(0, exitCode.get()), output.toString(StandardCharsets.UTF_8));
  }

  private static void runMain(String mainClass, String[] args, AtomicInteger exitCode) {
    try {
      Class.forName(mainClass).getMethod("main", String[].class).invoke(null, (Object) args);
    } catch (InvocationTargetException e) {
      if (e.getCause() instanceof Ended) return;
      exitCode.set(1);
      e.getCause().printStackTrace(System.out);
    } catch (ReflectiveOperationException e) {
      exitCode.set(1);
      e.printStackTrace(System.out);
    }
  }
}

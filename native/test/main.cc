// Runs the native unit tests: native-test [--filter=part-of-a-name] [--verbose]; as native-test --child=name it is a process of one of them.
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>

#include "test/child_process.h"
#include "test/test.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

#ifdef __SANITIZE_THREAD__
/** Others' libraries are not instrumented: that they order their accesses by atomics of their own is not seen. */
extern "C" const char* __tsan_default_suppressions() { return "race:libfabric.so\n"; }
#endif

namespace {

constexpr unsigned kLongestTestSeconds = 300;

const char* running = "";

void say(const char* text) {
  if (::write(STDERR_FILENO, text, std::strlen(text)) < 0) return;
}

/** A test that hangs or crashes is named, and the program ends where it is. */
void onEnd(int signal) {
  say(signal == SIGALRM ? "\nHANGS " : "\nCRASHES ");
  say(running);
  say("\n");
  const int last = signal == SIGALRM ? SIGABRT : signal;
  std::signal(last, SIG_DFL);
  std::raise(last);
}

int runChild(const char* name) {
  for (const auto& child : kafabric::test::children()) {
    if (child.name != name) continue;
    try {
      child.body(kafabric::test::kChildControl);
      return 0;
    } catch (const std::exception& error) {
      std::fprintf(stderr, "child %s: %s\n", name, error.what());
      return 1;
    }
  }
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  std::string filter;
  bool verbose = false;
  for (int i = 1; i < argc; ++i) {
    if (std::strncmp(argv[i], "--filter=", 9) == 0) filter = argv[i] + 9;
    if (std::strcmp(argv[i], "--verbose") == 0) verbose = true;
    if (std::strncmp(argv[i], "--child=", 8) == 0) return runChild(argv[i] + 8);
  }
  std::signal(SIGPIPE, SIG_IGN);  // as Node does
  std::signal(SIGALRM, onEnd);
  if (!kSanitized) {  // sanitizers say more themselves
    for (int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT}) std::signal(signal, onEnd);
  }
  int run = 0;
  int failed = 0;
  int skipped = 0;
  for (const auto& test : kafabric::test::cases()) {
    if (test.name.find(filter) == std::string::npos) continue;
    ++run;
    if (verbose) {
      std::printf("%s\n", test.name.c_str());
      std::fflush(stdout);
    }
    running = test.name.c_str();
    ::alarm(kLongestTestSeconds);
    try {
      test.body();
    } catch (const kafabric::test::LeftOut& reason) {
      --run;
      std::printf("left out %s: %s\n", test.name.c_str(), reason.what());
    } catch (const kafabric::test::Skipped& reason) {
      ++skipped;
      std::printf("skipped %s: %s\n", test.name.c_str(), reason.what());
    } catch (const std::exception& error) {
      ++failed;
      std::fprintf(stderr, "FAILED %s\n  %s\n", test.name.c_str(), error.what());
    }
  }
  ::alarm(0);
  std::printf("%d passed, %d failed", run - failed - skipped, failed);
  if (skipped > 0) std::printf(", %d skipped", skipped);
  std::printf("\n");
  return failed == 0 && run > 0 ? 0 : 1;
}

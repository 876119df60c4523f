// Runs the native unit tests: native-test [--filter=part-of-a-name]
#include <cstdio>
#include <cstring>
#include <exception>

#include "test/test.h"

int main(int argc, char** argv) {
  std::string filter;
  for (int i = 1; i < argc; ++i) {
    if (std::strncmp(argv[i], "--filter=", 9) == 0) filter = argv[i] + 9;
  }
  int run = 0;
  int failed = 0;
  for (const auto& test : kafabric::test::cases()) {
    if (test.name.find(filter) == std::string::npos) continue;
    ++run;
    try {
      test.body();
    } catch (const std::exception& error) {
      ++failed;
      std::fprintf(stderr, "FAILED %s\n  %s\n", test.name.c_str(), error.what());
    }
  }
  std::printf("%d passed, %d failed\n", run - failed, failed);
  return failed == 0 && run > 0 ? 0 : 1;
}
